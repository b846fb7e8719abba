/** Words, dates and numbers in the reader's language. */
export { i18n } from './i18n.svelte.ts';
export type { Language } from './language.ts';
export type { Dictionary } from './zh.ts';
