/**
 * 绝句 as slots: the four line types, 粘 and 对 between them, one level rhyme on the even lines, no 孤平, no 三平尾.
 * `+` stands for 平, `-` for 仄, `.` for either. Pure.
 */
import type { Slot, SlotsConstraint } from '../../model/index.ts';
import { charsOfRhyme, LEVEL_CHARS, OBLIQUE_CHARS } from '../prosody/index.ts';

export type Form = 5 | 7;
type LineType = 'A' | 'B' | 'C' | 'D';

/** The first of B is held level, or its third and last could be all the level tones there are (孤平). */
const FIVE: Record<LineType, string> = { A: '.-++-', B: '++--+', C: '.++--', D: '.--++' };
/** Seven syllables put two of the other tone in front. */
const SEVEN: Record<LineType, string> = { A: '.+.-++-', B: '.-++--+', C: '.-.++--', D: '.+.--++' };
/** Neighbouring lines oppose within a couplet (对) and agree at the second place between couplets (粘). */
export const SCHEMES: readonly LineType[][] = [
  ['A', 'B', 'C', 'D'],
  ['D', 'B', 'C', 'D'],
  ['C', 'D', 'A', 'B'],
  ['B', 'D', 'A', 'B'],
];

/** `句一，句二。\n句三，句四。` */
const MARKS = ['，', '。\n', '，', '。'];

export function poemSlots(form: Form, scheme: readonly LineType[], rhyme: string): SlotsConstraint {
  const slots: Slot[] = [];
  const rhymed: number[] = [];
  scheme.forEach((type, line) => {
    const tones = (form === 5 ? FIVE : SEVEN)[type];
    const start = slots.length;
    [...tones].forEach((tone, place) => {
      const at = slots.length;
      const own = Array.from({ length: place }, (_, i) => start + i);
      const last = place === tones.length - 1;
      const isRhyme = last && tone === '+';
      slots.push({
        ...(isRhyme
          ? { allow: charsOfRhyme(rhyme) }
          : tone === '.'
            ? {}
            : { allow: tone === '+' ? LEVEL_CHARS : OBLIQUE_CHARS }),
        // No character twice in a line, and none rhymes with itself.
        differ: isRhyme ? [...own, ...rhymed] : own,
      });
      if (isRhyme) rhymed.push(at);
    });
    for (const mark of MARKS[line]!) slots.push({ allow: mark });
  });
  return { kind: 'slots', slots };
}
