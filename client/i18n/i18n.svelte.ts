/** The page's words in the reader's language, and dates and numbers written that reader's way. */
import type { UserError } from '../../server/protocol.ts';
import { remember, remembered } from '../remembered.ts';
import { en } from './en.ts';
import { chooseLanguage, LANG_TAG, type Language } from './language.ts';
import { type Dictionary, zh } from './zh.ts';

const DICTIONARIES: Record<Language, Dictionary> = { zh, en };

class I18n {
  language: Language = $state(chooseLanguage(remembered('language'), navigator.languages));
  /** The words: `i18n.t.chat.send`. */
  readonly t: Dictionary = $derived(DICTIONARIES[this.language]);
  readonly tag: string = $derived(LANG_TAG[this.language]);
  readonly #time = $derived(new Intl.DateTimeFormat(this.tag, { hour: '2-digit', minute: '2-digit' }));
  readonly #day = $derived(new Intl.DateTimeFormat(this.tag, { year: 'numeric', month: 'long', day: 'numeric' }));
  readonly #number = $derived(new Intl.NumberFormat(this.tag, { maximumSignificantDigits: 3 }));
  readonly #whole = $derived(new Intl.NumberFormat(this.tag, { maximumFractionDigits: 0 }));

  choose(language: Language): void {
    this.language = language;
    remember('language', language);
  }

  error(error: UserError): string {
    return error.message[this.language];
  }

  time(iso: string): string {
    return this.#time.format(new Date(iso));
  }

  day(iso: string): string {
    return this.#day.format(new Date(iso));
  }

  /** Three significant digits: more would claim a precision we do not have. */
  readonly number = (value: number): string => this.#number.format(value);

  readonly whole = (value: number): string => this.#whole.format(value);
}

export const i18n = new I18n();
