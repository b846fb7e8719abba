/**
 * Full-text terms made here and not in Postgres, so that PGlite and every PostgreSQL version index alike without an
 * extension: overlapping bigrams of Han characters, and lower-case words of everything else.
 */

/** Words that carry no topic. They are neither indexed nor searched. */
const EN_STOP = new Set(
  (
    'a an the is are am was were be been do does did to of in on at for and or but so if it its this that these those there here ' +
    'i me we us you your he she him her they them what who whom whose which where when why how can could will would ' +
    'please tell know remember say xiaohe not no yes ok okay with about as by from have has had s'
  ).split(' '),
);

/** Words and bigrams that carry little of the topic: they help to rank, hardly to decide. */
const LIGHT = new Set(
  (
    'my our name like love favorite age live thing much many day date kind ' +
    '喜欢 最喜 欢吃 一个 一只 一条 一种 我们 他们 可以 因为 所以 就是 不是 都是 也是 没有'
  ).split(' '),
);
/** A pronoun cut off from its noun by a question word. */
const PRONOUN = /^[我你他她它]$/u;
const LIGHT_CHARS = /[家是叫有在会能和跟岁不也都很就要说]/u;
/** Against a plain topic word's 1. */
const LIGHT_WEIGHT = 0.3;

/** The terms of a text already in canonical form, without repeats. */
export function termsOf(canonicalText: string): string[] {
  const terms = new Set<string>();
  for (const [run] of canonicalText.matchAll(/\p{Script=Han}+|(?:(?!\p{Script=Han})[\p{L}\p{N}])+/gu)) {
    if (/^\p{Script=Han}/u.test(run)) for (const gram of bigrams(run)) terms.add(gram);
    else if (!EN_STOP.has(run)) terms.add(stem(run));
  }
  return [...terms];
}

function bigrams(run: string): string[] {
  const chars = [...run];
  if (chars.length === 1) return chars;
  return chars.slice(1).map((char, i) => chars[i] + char);
}

/** Plural s only: a real stemmer would disagree with itself over names. */
function stem(word: string): string {
  return word.length > 3 && /[^s]s$/.test(word) ? word.slice(0, -1) : word;
}

/** How much of the topic a term carries, 0…1. */
export function weightOf(term: string): number {
  return LIGHT.has(term) || LIGHT_CHARS.test(term) || PRONOUN.test(term) ? LIGHT_WEIGHT : 1;
}

function quoted(term: string): string {
  return `'${term.replace(/\\/g, '\\\\').replace(/'/g, "''")}'`;
}

/** As a `tsvector` literal. */
export function tsvector(terms: readonly string[]): string {
  return terms.map(quoted).join(' ');
}

/** As a `tsquery` literal that matches any of them. */
export function tsqueryAny(terms: readonly string[]): string {
  return terms.map(quoted).join(' | ');
}
