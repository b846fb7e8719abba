/**
 * Emphasis that works in Chinese. CommonMark decides whether `**` opens or closes by the spaces and punctuation around
 * it, which assumes words are spaced: in `**重点：**内容` the closing `**` follows punctuation and precedes a letter, so
 * it stays literal (commonmark-spec 650). Here, punctuation next to a delimiter is excused when a CJK character is on
 * either side of that delimiter. Text in which the standard rules already work is left to them.
 */
import type { TokenizerThis, Tokens } from 'marked';

const CJK = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff00-\uffef]/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const SPACE = /^\s?$/u;

interface Run {
  start: number;
  length: number;
  opens: boolean;
  closes: boolean;
  /** The standard rules would have judged otherwise. */
  excused: boolean;
}

type Emphasis = Tokens.Em | Tokens.Strong;

/** A marked inline tokenizer; `false` hands over to marked's own. */
export function emStrong(this: TokenizerThis, src: string, masked: string, before = ''): Emphasis | false {
  if (src[0] !== '*') return false;
  // `masked` is the whole line with code, links and escapes blanked out, so stars inside them do not count.
  const runs = delimiterRuns(before + masked.slice(-src.length));
  const opener = runs.shift();
  if (!opener?.opens || opener.start !== before.length || opener.length > 3) return false;
  const closerAt = runs.findIndex((run) => run.length === opener.length && run.closes);
  const closer = runs[closerAt];
  if (!closer) return false;
  const between = [opener, ...runs.slice(0, closerAt + 1)];
  if (!between.some((run) => run.excused)) return false;
  const raw = src.slice(0, closer.start - before.length + closer.length);
  return token(this, raw, opener.length);
}

function token(self: TokenizerThis, raw: string, stars: number): Emphasis {
  const text = raw.slice(stars, -stars);
  const inner = self.lexer.inlineTokens(text);
  if (stars === 1) return { type: 'em', raw, text, tokens: inner };
  const strong: Tokens.Strong = {
    type: 'strong',
    raw: raw.slice(stars - 2, raw.length - (stars - 2)),
    text,
    tokens: inner,
  };
  return stars === 2 ? strong : { type: 'em', raw, text: strong.raw, tokens: [strong] };
}

function delimiterRuns(text: string): Run[] {
  const runs: Run[] = [];
  for (const match of text.matchAll(/\*+/g)) {
    const left = lastCharacter(text.slice(0, match.index));
    const right = firstCharacter(text.slice(match.index + match[0].length));
    const excuse = CJK.test(left) || CJK.test(right);
    const leftPunctuation = PUNCTUATION.test(left);
    const rightPunctuation = PUNCTUATION.test(right);
    const opensStandard = !SPACE.test(right) && (!rightPunctuation || SPACE.test(left) || leftPunctuation);
    const closesStandard = !SPACE.test(left) && (!leftPunctuation || SPACE.test(right) || rightPunctuation);
    const opens = !SPACE.test(right) && (opensStandard || excuse);
    const closes = !SPACE.test(left) && (closesStandard || excuse);
    const excused = opens !== opensStandard || closes !== closesStandard;
    runs.push({ start: match.index, length: match[0].length, opens, closes, excused });
  }
  return runs;
}

function lastCharacter(text: string): string {
  return [...text.slice(-2)].at(-1) ?? '';
}

function firstCharacter(text: string): string {
  return [...text.slice(0, 2)][0] ?? '';
}
