/** Grouped experts against the obvious loop, which lives only here. */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { groupByExpert, type Mixture, mix, route } from '../../../../agent/model/experts.ts';
import { uploadWeight } from '../../../../agent/model/product.ts';
import { randomFrom } from '../../../../agent/model/sampling.ts';
import { largestDifference } from './seedling.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

interface Expert {
  gate: Float32Array;
  up: Float32Array;
  down: Float32Array;
}

function build(hidden: number, width: number, experts: number, expertsPerToken: number, seed: number) {
  const random = randomFrom(seed);
  const matrix = (count: number) => Float32Array.from({ length: count }, () => random() * 2 - 1);
  const plain: Expert[] = Array.from({ length: experts }, () => ({
    gate: matrix(width * hidden),
    up: matrix(width * hidden),
    down: matrix(hidden * width),
  }));
  const mixture: Mixture = {
    router: matrix(experts * hidden),
    experts: plain.map(({ gate, up, down }) => ({
      gateUp: uploadWeight([
        { shape: [width, hidden], values: gate },
        { shape: [width, hidden], values: up },
      ]),
      down: uploadWeight([{ shape: [hidden, width], values: down }]),
    })),
    expertsPerToken,
    hidden,
    width,
  };
  return { mixture, plain, matrix };
}

/** Every expert over every row; rows that did not choose it are masked by a zero weight. */
function naive(x: Float32Array, { router, hidden, width, expertsPerToken }: Mixture, experts: Expert[]): Float32Array {
  const rows = x.length / hidden;
  const out = new Float32Array(x.length);
  const dot = (a: Float32Array, i: number, b: Float32Array, j: number, n: number) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[i + k]! * b[j + k]!;
    return sum;
  };
  for (let row = 0; row < rows; row++) {
    const scores = experts.map((_, e) => dot(x, row * hidden, router, e * hidden, hidden));
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    const probabilities = scores.map((score) => Math.exp(score) / total);
    const limit = [...probabilities].sort((a, b) => b - a)[expertsPerToken - 1]!;
    const kept = probabilities.map((p) => (p >= limit ? p : 0));
    const mass = kept.reduce((a, b) => a + b, 0);
    experts.forEach(({ gate, up, down }, e) => {
      const inner = Float32Array.from({ length: width }, (_, i) => {
        const g = dot(x, row * hidden, gate, i * hidden, hidden);
        return (g / (1 + Math.exp(-g))) * dot(x, row * hidden, up, i * hidden, hidden);
      });
      for (let j = 0; j < hidden; j++)
        out[row * hidden + j]! += (kept[e]! / mass) * dot(inner, 0, down, j * width, width);
    });
  }
  return out;
}

it('computes what the masked loop computes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.nat(),
      async (rows, experts, k, seed) => {
        const { mixture, plain, matrix } = build(8, 4, experts, Math.min(k, experts), seed);
        const x = matrix(rows * 8);
        expect(largestDifference(await mix(x, mixture), naive(x, mixture, plain))).toBeLessThan(1e-5);
        for (const { gateUp, down } of mixture.experts) tf.dispose([gateUp, down]);
      },
    ),
    { numRuns: 40 },
  );
});

it('routes to distinct experts with weights that sum to one', () => {
  const { mixture, matrix } = build(8, 4, 6, 3, 7);
  const { chosen, weights } = route(matrix(5 * 8), mixture);
  for (let row = 0; row < 5; row++) {
    expect(new Set(chosen.slice(row * 3, row * 3 + 3)).size).toBe(3);
    expect(weights.slice(row * 3, row * 3 + 3).reduce((a, b) => a + b)).toBeCloseTo(1, 6);
  }
});

it('permutes every pair to its expert exactly once', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(4)), (list) => {
      const chosen = Int32Array.from(list);
      const { order, offsets } = groupByExpert(chosen, 5);
      expect([...order].sort((a, b) => a - b)).toEqual(list.map((_, i) => i));
      for (let e = 0; e < 5; e++)
        for (let at = offsets[e]!; at < offsets[e + 1]!; at++) expect(chosen[order[at]!]).toBe(e);
      expect(offsets[5]).toBe(list.length);
    }),
  );
});
