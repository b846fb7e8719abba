/** The constraint automaton against exhaustive search over small alphabets. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allowedTokens, planSlots } from '../../../../../agent/model/constraint/index.ts';
import type { Slot } from '../../../../../agent/model/types.ts';
import { tokenizer } from '../seedling.ts';

const LETTERS = 'abcd';
const alphabet = { characters: new Map([...LETTERS].map((letter, i) => [letter, i])), han: [0, 1, 2, 3] };

const slots = fc
  .array(
    fc.record(
      {
        allow: fc.subarray([...LETTERS]).map((list) => list.join('')),
        deny: fc.subarray([...LETTERS]).map((list) => list.join('')),
        same: fc.nat(),
        differ: fc.array(fc.nat(), { maxLength: 4 }),
      },
      { requiredKeys: [] },
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((list) =>
    list.map(({ same, differ, ...slot }, i): Slot => {
      if (i === 0) return slot;
      return {
        ...slot,
        ...(same !== undefined && same % 3 === 0 && { same: same % i }),
        ...(differ && { differ: differ.map((j) => j % i) }),
      };
    }),
  );

function keeps(list: Slot[], text: string): boolean {
  return [...text].every((letter, i) => {
    const { allow, deny, same, differ } = list[i]!;
    return (
      (allow === undefined || allow.includes(letter)) &&
      !deny?.includes(letter) &&
      (same === undefined || text[same] === letter) &&
      (differ ?? []).every((j) => text[j] !== letter)
    );
  });
}

function solutions(list: Slot[]): string[] {
  let texts = [''];
  for (let i = 0; i < list.length; i++) texts = texts.flatMap((text) => [...LETTERS].map((letter) => text + letter));
  return texts.filter((text) => keeps(list, text));
}

describe('slots', () => {
  it('allow exactly the characters that can still be completed, and refuse what has no solution', () => {
    fc.assert(
      fc.property(slots, fc.infiniteStream(fc.nat()), (list, choices) => {
        const all = solutions(list);
        if (all.length === 0) {
          expect(() => planSlots({ kind: 'slots', slots: list }, alphabet)).toThrow(
            expect.objectContaining({ code: 'CONSTRAINT_IMPOSSIBLE' }),
          );
          return;
        }
        const plan = planSlots({ kind: 'slots', slots: list }, alphabet);
        let text = '';
        while (text.length < list.length) {
          const allowed = allowedTokens(
            plan,
            [...text].map((letter) => LETTERS.indexOf(letter)),
          );
          const possible = new Set(
            all.filter((full) => full.startsWith(text)).map((full) => LETTERS.indexOf(full[text.length]!)),
          );
          expect(new Set(allowed)).toEqual(possible);
          text += LETTERS[allowed[choices.next().value! % allowed.length]!];
        }
        expect(all).toContain(text);
        expect(
          allowedTokens(
            plan,
            [...text].map((letter) => LETTERS.indexOf(letter)),
          ),
        ).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('refuse references to later slots and empty lists', () => {
    const refused = expect.objectContaining({ code: 'CONSTRAINT_IMPOSSIBLE' });
    expect(() => planSlots({ kind: 'slots', slots: [] }, alphabet)).toThrow(refused);
    expect(() => planSlots({ kind: 'slots', slots: [{ same: 0 }] }, alphabet)).toThrow(refused);
    expect(() => planSlots({ kind: 'slots', slots: [{}, { differ: [1] }] }, alphabet)).toThrow(refused);
    expect(() => planSlots({ kind: 'slots', slots: [{ allow: '🦄' }] }, tokenizer)).toThrow(refused);
  });

  it('cope with a whole regulated poem of distinct Han characters', () => {
    const poem: Slot[] = Array.from({ length: 56 }, (_, i) => ({ differ: Array.from({ length: i }, (_, j) => j) }));
    const plan = planSlots({ kind: 'slots', slots: poem }, tokenizer);
    const said: number[] = [];
    while (said.length < 56) said.push(allowedTokens(plan, said)[0]!);
    expect(new Set(said).size).toBe(56);
    expect(tokenizer.decode(said)).toMatch(/^\p{Script=Han}{56}$/u);
  });
});
