/** Sampling rules on small distributions, where the right answer can be counted. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { likeliest, randomFrom, sample, spansWithout } from '../../../../agent/model/sampling.ts';
import type { Sampling } from '../../../../agent/model/types.ts';

const PLAIN: Sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const none = { used: new Set<number>() };
const logits = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);

/** Share of each token over many draws. */
function shares(values: Float32Array, sampling: Partial<Sampling>, mask = none, draws = 4_000): number[] {
  const random = randomFrom(11);
  const counts = new Array<number>(values.length).fill(0);
  for (let i = 0; i < draws; i++) counts[sample(values, { ...PLAIN, ...sampling }, mask, random).token]!++;
  return counts.map((count) => count / draws);
}

describe('sample', () => {
  it('draws in proportion, sharpened by temperature', () => {
    expect(shares(logits(0.6, 0.3, 0.1), {})[0]).toBeCloseTo(0.6, 1);
    // Temperature ½ squares the odds: 36 : 9 : 1.
    const cold = shares(logits(0.6, 0.3, 0.1), { temperature: 0.5 });
    expect(cold[0]).toBeCloseTo(36 / 46, 1);
    expect(cold[1]).toBeCloseTo(9 / 46, 1);
  });

  it('cuts by top-k, top-p and min-p', () => {
    const values = logits(0.1, 0.5, 0.05, 0.35);
    const drawn = (sampling: Partial<Sampling>) =>
      shares(values, sampling).flatMap((share, i) => (share > 0 ? [i] : []));
    expect(drawn({})).toEqual([0, 1, 2, 3]);
    expect(drawn({ topK: 2 })).toEqual([1, 3]);
    expect(drawn({ topP: 0.84 })).toEqual([1, 3]);
    expect(drawn({ topP: 0.86 })).toEqual([0, 1, 3]);
    expect(drawn({ minP: 0.15 })).toEqual([0, 1, 3]);
    expect(drawn({ topK: 3, topP: 0.5, minP: 0.9 })).toEqual([1]);
  });

  it('penalises used tokens whatever the sign of their logit', () => {
    const used = { used: new Set([0, 1]) };
    const choice = sample(
      Float32Array.of(2, -1, 1.5),
      { ...PLAIN, temperature: 0, repetitionPenalty: 2 },
      used,
      Math.random,
    );
    expect(choice.token).toBe(2);
    const negative = sample(
      Float32Array.of(-1, -1.5),
      { ...PLAIN, temperature: 0, repetitionPenalty: 2 },
      { used: new Set([0]) },
      Math.random,
    );
    expect(negative.token).toBe(1);
  });

  it('stays inside masks and reports the unmasked log-probability', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 3, maxLength: 40 }),
        fc.record({
          temperature: fc.constantFrom(0, 0.3, 1, 5),
          topK: fc.nat(12),
          topP: fc.constantFrom(0.1, 0.7, 1),
          minP: fc.constantFrom(0, 0.2),
          repetitionPenalty: fc.constantFrom(1, 1.3),
        }),
        fc.nat(),
        (list, sampling, seed) => {
          const values = Float32Array.from(list);
          const half = [...values.keys()].filter((i) => i % 2 === 1);
          const speakable = spansWithout(half, values.length);
          const mask = { ...none, ...(seed % 2 ? { allowed: half } : { speakable }) };
          const before = values.slice();
          const { token, logprob } = sample(values, sampling, mask, randomFrom(seed));
          expect(token % 2).toBe(seed % 2);
          expect(values).toEqual(before);
          const total = values.reduce((sum, value) => sum + Math.exp(value), 0);
          expect(logprob).toBeCloseTo(values[token]! - Math.log(total), 5);
        },
      ),
    );
  });

  it('is greedy at temperature 0 and repeats itself for a seed', () => {
    expect(sample(Float32Array.of(1, 3, 2), { ...PLAIN, temperature: 0 }, none, () => Number.NaN).token).toBe(1);
    const run = (seed: number) => {
      const random = randomFrom(seed);
      return Array.from({ length: 30 }, () => sample(logits(0.4, 0.3, 0.3), PLAIN, none, random).token);
    };
    expect(run(5)).toEqual(run(5));
    expect(run(5)).not.toEqual(run(6));
  });

  it('lists the likeliest tokens of the unmasked distribution', () => {
    const list = likeliest(logits(0.1, 0.5, 0.05, 0.35), 3);
    expect(list.map(({ token }) => token)).toEqual([1, 3, 0]);
    for (const [i, probability] of [0.5, 0.35, 0.1].entries())
      expect(Math.exp(list[i]!.logprob)).toBeCloseTo(probability, 5);
    expect(likeliest(logits(0.5, 0.5), 20).map(({ token }) => token)).toEqual([0, 1]);
  });

  it('refuses logits that are no numbers, wherever they stand', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
      for (let at = 0; at < 3; at++) {
        const values = Float32Array.of(1, 2, 3);
        values[at] = bad;
        for (const temperature of [0, 1])
          expect(() => sample(values, { ...PLAIN, temperature }, none, Math.random)).toThrow(
            expect.objectContaining({ code: 'ENGINE_CRASHED' }),
          );
      }
  });

  it('cuts a vocabulary into the spans around what is left out', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(30)), fc.integer({ min: 1, max: 30 }), (out, vocabulary) => {
        const inside = spansWithout(out, vocabulary).flatMap(({ from, to }) =>
          Array.from({ length: to - from }, (_, i) => from + i),
        );
        expect(inside).toEqual(Array.from({ length: vocabulary }, (_, i) => i).filter((i) => !out.includes(i)));
      }),
    );
  });
});
