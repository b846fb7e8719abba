/**
 * A lesson that somebody else points at: a remote model may say which of a person's sentences is worth remembering, but it
 * cannot change a word of it. Only a whole sentence of that very message is taken; a part of one can mean the opposite
 * (`我不喜欢猫` holds `喜欢猫`). Pure.
 */
import { hasPrivateData } from '../safety/index.ts';
import { extract } from './extract.ts';
import { asks } from './question.ts';
import { splitSentences } from './sentences.ts';
import type { Extraction } from './statement.ts';

/** Shorter is a word, longer a story. Characters. */
const NOTE = { least: 4, most: 120 } as const;
/** Supposed, wished, said by others: true nowhere but in the sentence. */
const NOT_SO =
  /如果|要是|假如|假设|假装|好像|可能|也许|希望|但愿|听说|\b(?:if|maybe|perhaps|suppose|pretend|i wish|i hope)\b/i;

/** What the quoted sentence teaches; undefined when the person did not say it, or not as a statement. */
export function taughtIn(message: string, quote: string): Extraction | undefined {
  const wanted = bare(quote);
  if (wanted === '') return undefined;
  const said = message
    .split(/\r?\n/)
    .flatMap(splitSentences)
    .find(({ text }) => bare(text) === wanted);
  if (!said || said.asked || asks(said.text) || hasPrivateData(message)) return undefined;
  const found = extract(said.text);
  if (found.statements.length > 0 || found.amendment) return found;
  const { text } = said;
  if (text.length < NOTE.least || text.length > NOTE.most || NOT_SO.test(text)) return undefined;
  const lang = /\p{Script=Han}/u.test(text) ? 'zh' : 'en';
  return {
    statements: [{ subject: '', relation: 'note', object: text, text, lang, single: false, correction: false }],
  };
}

/** Letters and digits alone: models drop or change the marks around what they quote. */
function bare(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/[^\p{L}\p{N}]/gu, '')
    .toLowerCase();
}
