/**
 * Characters, strings and numbers of JSON as expressions over UTF-8 bytes. Every string has exactly one spelling here, the
 * one `JSON.stringify` gives it, so that texts can be told apart by their bytes. Pure.
 */
import type { Expression, Grammar } from './grammar.ts';

export type CodePoints = [number, number];

const LAST = 0x10ffff;
/** Written as a backslash and a letter. Other control characters are left out: no text needs them. */
const ESCAPES = new Map(
  [...'"\\\n\r\t\b\f'].map((character) => [character.codePointAt(0)!, JSON.stringify(character).slice(1, -1)]),
);
/** UTF-8 lengths change here, and surrogates have no UTF-8. */
const SPANS: CodePoints[] = [
  [0x20, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, LAST],
];

/** One character of a JSON string out of these ranges. */
export function stringCharacter(grammar: Grammar, ranges: CodePoints[] = [[0, LAST]]): Expression | undefined {
  const plain = [...ESCAPES.keys()]
    .sort((a, b) => a - b)
    .reduce<CodePoints[]>((list, escaped) => list.flatMap((range) => split(range, escaped)), ranges);
  const raw = plain.flatMap(([from, to]) =>
    SPANS.map(([low, high]) => {
      const [least, most] = [Math.max(from, low), Math.min(to, high)];
      return least <= most ? between(grammar, utf8(least), utf8(most), CONTINUATION) : undefined;
    }),
  );
  const inRanges = (code: number) => ranges.some(([from, to]) => from <= code && code <= to);
  const escaped = [...ESCAPES].filter(([code]) => inRanges(code)).map(([, spelling]) => grammar.word(spelling));
  return grammar.choice(...raw, ...escaped);
}

function split([from, to]: CodePoints, at: number): CodePoints[] {
  const parts: CodePoints[] = [
    [from, Math.min(to, at - 1)],
    [Math.max(from, at + 1), to],
  ];
  return parts.filter(([low, high]) => low <= high);
}

export function quoted(grammar: Grammar, content: Expression | undefined): Expression | undefined {
  const quote = grammar.word('"');
  return grammar.sequence(quote, content, quote);
}

const utf8 = (code: number) => [...Buffer.from(String.fromCodePoint(code))];
const CONTINUATION = (): CodePoints => [0x80, 0xbf];

/**
 * Byte strings of one length from `low` to `high` in their order. `span` says which bytes a place may hold where neither
 * bound decides it.
 */
function between(
  grammar: Grammar,
  low: readonly number[],
  high: readonly number[],
  span: (place: number) => CodePoints,
  place = 0,
): Expression | undefined {
  const rest = (a: readonly number[], b: readonly number[]) => between(grammar, a, b, span, place + 1);
  const [first, last] = [low[0], high[0]];
  if (first === undefined || last === undefined) return grammar.nothing;
  const spans = low.map((_, i) => span(place + i));
  // Said at once; taken apart it would double at every place.
  if (spans.every(([least, most], i) => low[i] === least && high[i] === most))
    return grammar.sequence(...spans.map((range) => grammar.bytes(range)));
  if (first === last) return grammar.sequence(grammar.bytes([first, first]), rest(low.slice(1), high.slice(1)));
  const lowest = spans.slice(1).map(([least]) => least);
  const highest = spans.slice(1).map(([, most]) => most);
  return grammar.choice(
    grammar.sequence(grammar.bytes([first, first]), rest(low.slice(1), highest)),
    grammar.sequence(grammar.bytes([first + 1, last - 1]), rest(lowest, highest)),
    grammar.sequence(grammar.bytes([last, last]), rest(lowest, high.slice(1))),
  );
}

/** Digits before the point that still are exact in a double, with those after it. */
export const DIGITS = 15;
/** Digits after the point of a number nobody bounded: more would only be noise. */
const DECIMALS = 6;

export interface Bounds {
  from?: number | undefined;
  above?: number | undefined;
  to?: number | undefined;
  below?: number | undefined;
}

const NUMBER = /^-?(\d+)(?:\.(\d+))?$/;
/** Whether the bound can be kept digit by digit. */
export const isPlain = (bound: number) =>
  NUMBER.test(String(bound)) && String(bound).replace(/\D/g, '').length <= DIGITS;

/** A number without exponent. Bounded numbers have as many decimals as their bounds and two more, so that all digits count. */
export function number(grammar: Grammar, bounds: Bounds, whole: boolean): Expression | undefined {
  const given = Object.values(bounds).filter((bound) => bound !== undefined);
  const digit = grammar.bytes([0x30, 0x39]);
  if (given.length === 0) {
    const minus = grammar.choice(grammar.nothing, grammar.word('-'));
    const leading = grammar.sequence(grammar.bytes([0x31, 0x39]), grammar.repeat(digit, 0, DIGITS - 1));
    const fraction = whole ? undefined : grammar.sequence(grammar.word('.'), grammar.repeat(digit, 1, DECIMALS));
    return grammar.sequence(
      minus,
      grammar.choice(grammar.word('0'), leading),
      grammar.choice(grammar.nothing, fraction),
    );
  }
  const spelt = given.map((bound) => NUMBER.exec(String(bound)));
  const before = Math.max(...spelt.map((match) => match?.[1]?.length ?? 0));
  const after = Math.max(...spelt.map((match) => match?.[2]?.length ?? 0));
  const most = whole ? 0 : Math.min(after + 2, DIGITS - before);
  return grammar.choice(...Array.from({ length: most + 1 }, (_, decimals) => fixed(grammar, bounds, decimals, most)));
}

/** Numbers with exactly so many decimals within the bounds. */
function fixed(grammar: Grammar, bounds: Bounds, decimals: number, most: number): Expression | undefined {
  const limit = 10n ** BigInt(DIGITS - most + decimals) - 1n;
  let low = -limit;
  let high = limit;
  const raise = (to: bigint) => {
    if (to > low) low = to;
  };
  const lower = (to: bigint) => {
    if (to < high) high = to;
  };
  const { from, above, to, below } = bounds;
  if (from !== undefined) raise(scaled(from, decimals).ceiling);
  if (above !== undefined) raise(scaled(above, decimals).floor + 1n);
  if (to !== undefined) lower(scaled(to, decimals).floor);
  if (below !== undefined) lower(scaled(below, decimals).ceiling - 1n);
  const positive = high < 0n ? undefined : magnitudes(grammar, low > 0n ? low : 0n, high, decimals);
  const negative = low >= 0n ? undefined : magnitudes(grammar, high < 0n ? -high : 1n, -low, decimals);
  return grammar.choice(positive, grammar.sequence(grammar.word('-'), negative));
}

/** The bound in units of 10^-decimals, rounded both ways, from its decimal spelling: no double comes in between. */
function scaled(bound: number, decimals: number): { floor: bigint; ceiling: bigint } {
  const text = String(bound);
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const kept = BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, '0'));
  const dropped = /[1-9]/.test(fraction.slice(decimals)) ? 1n : 0n;
  return text.startsWith('-') ? { floor: -kept - dropped, ceiling: -kept } : { floor: kept, ceiling: kept + dropped };
}

function magnitudes(grammar: Grammar, low: bigint, high: bigint, decimals: number): Expression | undefined {
  if (low > high) return undefined;
  const shortest = decimals + 1;
  const parts: (Expression | undefined)[] = [];
  for (let length = shortest; length <= String(high).length || length === shortest; length++) {
    const floor = length === shortest ? 0n : 10n ** BigInt(length - 1);
    const ceiling = 10n ** BigInt(length) - 1n;
    const [least, most] = [low > floor ? low : floor, high < ceiling ? high : ceiling];
    if (least > most) continue;
    const point = length - decimals;
    const spell = (value: bigint) => {
      const digits = String(value).padStart(length, '0');
      return [...Buffer.from(decimals ? `${digits.slice(0, point)}.${digits.slice(point)}` : digits)];
    };
    parts.push(between(grammar, spell(least), spell(most), (place) => (decimals && place === point ? DOT : DIGIT)));
  }
  return grammar.choice(...parts);
}

const DOT: CodePoints = [0x2e, 0x2e];
const DIGIT: CodePoints = [0x30, 0x39];
