/**
 * Tones and rhymes of classical verse: 平 (level) and 仄 (oblique) after the Guangyun and 平水韵. Not modern Mandarin: it
 * lost the entering tone, and 30 % of lines would be judged wrongly.
 */
import { LEVEL_RHYMES, OBLIQUE } from './table.ts';

export type Tone = 'level' | 'oblique' | 'either' | 'unknown';

const oblique = new Set(OBLIQUE);
const rhymes = new Map<string, string[]>();
for (const [rhyme, chars] of Object.entries(LEVEL_RHYMES))
  for (const char of chars) rhymes.set(char, [...(rhymes.get(char) ?? []), rhyme]);

export function toneOf(char: string): Tone {
  const level = rhymes.has(char);
  if (oblique.has(char)) return level ? 'either' : 'oblique';
  return level ? 'level' : 'unknown';
}

/** Whether a character can stand where this tone is wanted; an unknown one is given the benefit of the doubt. */
export function fits(char: string, tone: 'level' | 'oblique'): boolean {
  const own = toneOf(char);
  return own === tone || own === 'either' || own === 'unknown';
}

/** Characters with a reading in this tone, as a constraint's allow list. */
export const LEVEL_CHARS: string = [...rhymes.keys()].join('');
export const OBLIQUE_CHARS: string = OBLIQUE;

/** The level rhymes a character belongs to. */
export function rhymesOf(char: string): readonly string[] {
  return rhymes.get(char) ?? [];
}

/** The characters of one level rhyme. */
export function charsOfRhyme(rhyme: string): string {
  return LEVEL_RHYMES[rhyme] ?? '';
}

/** The rhymes with room enough for a poem; narrow ones (江, 佳, 咸) leave a small model too little to say. */
export const WIDE_RHYMES: readonly string[] = Object.keys(LEVEL_RHYMES).filter(
  (rhyme) => LEVEL_RHYMES[rhyme]!.length >= 90,
);
