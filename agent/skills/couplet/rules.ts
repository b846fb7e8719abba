/**
 * The rules of a couplet, once as a constraint on decoding and once as a check of what came out; a property test holds
 * the two to each other. Pure. Parts of speech and sense are the model's business.
 */
import type { Slot, SlotsConstraint } from '../../model/index.ts';
import type { VerseReport } from '../../types.ts';
import { fits, LEVEL_CHARS, OBLIQUE_CHARS, toneOf } from '../prosody/index.ts';

const HAN = /\p{Script=Han}/u;

/** What is given up first when no line keeps every rule: the order in which good couplets break them, too. */
export const STRICTNESS = ['all', 'without opposed', 'without ending', 'length only'] as const;
export type Strictness = (typeof STRICTNESS)[number];

function opposite(char: string): 'level' | 'oblique' | undefined {
  const tone = toneOf(char);
  return tone === 'level' ? 'oblique' : tone === 'oblique' ? 'level' : undefined;
}

/** Positions (from 0) whose tones must oppose: 2nd, 4th, 6th, … of each clause. Ends of clauses follow rules of their own. */
function opposedPositions(chars: readonly string[]): number[] {
  const positions: number[] = [];
  let place = 0;
  chars.forEach((char, i) => {
    if (!HAN.test(char)) {
      place = 0;
      return;
    }
    place++;
    if (place % 2 === 0 && HAN.test(chars[i + 1] ?? '')) positions.push(i);
  });
  return positions;
}

/** One slot a character of the upper line; its punctuation stands in the lower line as well. */
export function coupletSlots(upper: string, strictness: Strictness): SlotsConstraint {
  const chars = [...upper];
  const level = STRICTNESS.indexOf(strictness);
  const opposed = new Set(level < 1 ? opposedPositions(chars) : []);
  const last = chars.length - 1;
  const used = [...new Set(chars)].join('');
  const slots = chars.map((char, i): Slot => {
    if (!HAN.test(char)) return { allow: char };
    const first = chars.indexOf(char);
    const rivals = chars.flatMap((other, j) =>
      j < i && HAN.test(other) && other !== char && chars.indexOf(other) === j ? [j] : [],
    );
    const wanted = level < 2 && i === last ? opposite(char) : opposed.has(i) ? opposite(char) : undefined;
    const tone = wanted && { allow: wanted === 'level' ? LEVEL_CHARS : OBLIQUE_CHARS };
    if (level < 3 && first < i) return { same: first, ...tone, ...(tone && { deny: used }) };
    return { ...tone, ...(level < 3 ? { deny: used, differ: rivals } : {}) };
  });
  return { kind: 'slots', slots };
}

/** How a lower line keeps the rules. Lines of different length are judged as far as both go. */
export function checkCouplet(upper: string, lower: string): VerseReport {
  const a = [...upper].filter((char) => HAN.test(char));
  const b = [...lower].filter((char) => HAN.test(char));
  const shape = (line: string) => [...line].map((char) => (HAN.test(char) ? '字' : char)).join('');
  const pairs = [...upper].map((char, i) => [char, [...lower][i] ?? ''] as const);
  const agrees = (char: string, other: string) => {
    const wanted = opposite(char);
    return wanted === undefined || fits(other, wanted);
  };
  const repeats = (chars: readonly string[]) => chars.map((char) => chars.indexOf(char)).join();
  return {
    upper: a.map(verseChar),
    lower: b.map(verseChar),
    rules: [
      { id: 'length', ok: shape(upper) === shape(lower) },
      { id: 'ending', ok: a.length > 0 && b.length > 0 && agrees(a.at(-1)!, b.at(-1)!) },
      { id: 'opposed', ok: opposedPositions([...upper]).every((i) => pairs[i]![1] !== '' && agrees(...pairs[i]!)) },
      { id: 'repetition', ok: repeats(a) === repeats(b) },
      { id: 'distinct', ok: b.every((char) => !a.includes(char)) },
    ],
  };
}

function verseChar(char: string): VerseReport['upper'][number] {
  return { char, tone: toneOf(char) };
}
