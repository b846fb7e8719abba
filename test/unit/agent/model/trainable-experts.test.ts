/**
 * Training through grouped experts: values and gradients of the masked loop, on every backend here, and both against
 * finite differences of the plain formula, so that one slip in the calculus cannot hide in two copies.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTfjsBackend, type TfjsBackend } from '../../../../agent/model/engines/tfjs/index.ts';
import { randomFrom } from '../../../../agent/model/sampling.ts';
import { dispatch, mixTrainable, type TrainableMixture } from '../../../../agent/model/trainable-experts.ts';
import { useSoftwareGpu } from '../../../support/software-gpu.ts';
import { chosenMask, maskedLoop } from './masked-loop.ts';
import { ENGINES } from './parity.ts';
import { largestDifference } from './seedling.ts';

const HIDDEN = 8;
const WIDTH = 4;

interface Problem {
  x: Float32Array;
  target: Float32Array;
  router: Float32Array;
  experts: { gateUp: Float32Array; down: Float32Array }[];
  k: number;
}

function problem(rows: number, experts: number, k: number, seed: number): Problem {
  const random = randomFrom(seed);
  const matrix = (count: number) => Float32Array.from({ length: count }, () => random() * 2 - 1);
  return {
    x: matrix(rows * HIDDEN),
    target: matrix(rows * HIDDEN),
    router: matrix(HIDDEN * experts),
    experts: Array.from({ length: experts }, () => ({
      gateUp: matrix(HIDDEN * 2 * WIDTH),
      down: matrix(WIDTH * HIDDEN),
    })),
    k: Math.min(k, experts),
  };
}

function upload({ x, router, experts, k }: Problem, frozen: boolean[] = []) {
  const mixture: TrainableMixture = {
    router: tf.tensor2d(router, [HIDDEN, experts.length]),
    experts: experts.map(({ gateUp, down }, e) => ({
      gateUp: tf.tensor2d(gateUp, [HIDDEN, 2 * WIDTH]),
      down: tf.tensor2d(down, [WIDTH, HIDDEN]),
      frozen: frozen[e] ?? false,
    })),
    expertsPerToken: k,
  };
  return { rows: tf.tensor2d(x, [x.length / HIDDEN, HIDDEN]), mixture };
}

/** The mixture's value and, for the loss Σ value · target, the gradients of x, router and experts, read back. */
async function differentiate(
  run: (x: tf.Tensor2D, mixture: TrainableMixture) => tf.Tensor2D,
  rows: tf.Tensor2D,
  mixture: TrainableMixture,
  target: Float32Array,
): Promise<Float32Array[]> {
  const weights = mixture.experts.filter(({ frozen }) => !frozen).flatMap(({ gateUp, down }) => [gateUp, down]);
  let value: tf.Tensor2D | undefined;
  const results = tf.tidy(() => {
    const gradients = tf.grads((..._: tf.Tensor[]) => {
      value = run(rows, mixture);
      return value;
    })([rows, mixture.router, ...weights], tf.tensor2d(target, rows.shape));
    return [run(rows, mixture), ...gradients];
  });
  const read = await Promise.all(results.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(results);
  return read;
}

async function both(p: Problem): Promise<[Float32Array[], Float32Array[]]> {
  const { rows, mixture } = upload(p);
  const plan = await dispatch(rows, mixture);
  const scores = tf.matMul(rows, mixture.router);
  const mask = chosenMask(await scores.data<'float32'>(), p.experts.length, p.k);
  const grouped = await differentiate((x, m) => mixTrainable(x, m, plan), rows, mixture, p.target);
  const masked = await differentiate((x, m) => maskedLoop(x, m, mask), rows, mixture, p.target);
  tf.dispose([rows, scores, mask, mixture.router, ...mixture.experts.flatMap(({ gateUp, down }) => [gateUp, down])]);
  return [grouped, masked];
}

/** Σ mixture · target in double precision, with the routing held fixed. */
function loss({ x, target, router, experts }: Problem, chosen: (row: number) => number[]): number {
  let sum = 0;
  const n = experts.length;
  for (let row = 0; row < x.length / HIDDEN; row++) {
    const own = chosen(row);
    const score = (e: number) =>
      Array.from({ length: HIDDEN }, (_, i) => x[row * HIDDEN + i]! * router[i * n + e]!).reduce((a, b) => a + b);
    const total = own.reduce((s, e) => s + Math.exp(score(e)), 0);
    for (const e of own) {
      const { gateUp, down } = experts[e]!;
      const inner = Array.from({ length: 2 * WIDTH }, (_, j) =>
        Array.from({ length: HIDDEN }, (_, i) => x[row * HIDDEN + i]! * gateUp[i * 2 * WIDTH + j]!).reduce(
          (a, b) => a + b,
        ),
      );
      for (let j = 0; j < HIDDEN; j++)
        for (let w = 0; w < WIDTH; w++) {
          const gate = inner[w]!;
          const y = (gate / (1 + Math.exp(-gate))) * inner[WIDTH + w]! * down[w * HIDDEN + j]!;
          sum += (Math.exp(score(e)) / total) * y * target[row * HIDDEN + j]!;
        }
    }
  }
  return sum;
}

const unavailable = await useSoftwareGpu();
if (unavailable) console.warn(`WebGPU is not tested here: ${unavailable}`);
const webgpu: TfjsBackend[] = unavailable ? [] : ['webgpu'];
const backends = ['cpu', ...ENGINES.filter((name) => name !== 'cpu'), ...webgpu] as ('cpu' | TfjsBackend)[];

describe.each(backends)('on %s', (backend) => {
  let close = () => {};
  beforeAll(async () => {
    if (backend === 'cpu') await tf.setBackend('cpu');
    else close = (await startTfjsBackend(backend, false)).close;
  });
  afterAll(() => close());

  it('has the masked loop’s values and gradients', async () => {
    const check = async (p: Problem) => {
      const [grouped, masked] = await both(p);
      expect(grouped.length).toBe(masked.length);
      grouped.forEach((values, i) => {
        expect(values.length).toBe(masked[i]!.length);
        expect(largestDifference(values, masked[i]!)).toBeLessThan(2e-5);
      });
    };
    // A software GPU compiles a program for every new shape: one problem there.
    if (backend === 'webgpu') return check(problem(5, 4, 2, 3));
    const size = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(size, size, size, fc.nat(), (rows, experts, k, seed) => check(problem(rows, experts, k, seed))),
      { numRuns: 25 },
    );
  });

  it('keeps no tensor', async () => {
    const before = tf.engine().state.numTensors;
    await both(problem(5, 4, 2, 3));
    expect(tf.engine().state.numTensors).toBe(before);
  });
});

describe('calculus', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  it('has the slopes that finite differences measure', async () => {
    const p = problem(4, 5, 2, 11);
    const { rows, mixture } = upload(p);
    const plan = await dispatch(rows, mixture);
    const [, dx, drouter, ...dexperts] = await differentiate(
      (x, m) => mixTrainable(x, m, plan),
      rows,
      mixture,
      p.target,
    );
    const chosen = (row: number) =>
      p.experts.map((_, e) => e).filter((e) => plan.placeOfExpert[row * 5 + e]! < plan.rowOf.length);
    const check = (values: Float32Array, gradient: Float32Array) => {
      for (let i = 0; i < values.length; i++) {
        const at = values[i]!;
        const step = 2 ** -10;
        values[i] = at + step;
        const above = loss(p, chosen);
        values[i] = at - step;
        const slope = (above - loss(p, chosen)) / (2 * step);
        values[i] = at;
        expect(gradient[i]!).toBeCloseTo(slope, 4);
      }
    };
    check(p.x, dx!);
    check(p.router, drouter!);
    p.experts.forEach(({ gateUp, down }, e) => {
      check(gateUp, dexperts[2 * e]!);
      check(down, dexperts[2 * e + 1]!);
    });
  });

  it('gives frozen experts none, and the others what they had', async () => {
    const p = problem(6, 4, 2, 5);
    const frozen = [true, false, true, true];
    const all = upload(p);
    const some = upload(p, frozen);
    const plan = await dispatch(all.rows, all.mixture);
    const run = (x: tf.Tensor2D, m: TrainableMixture) => mixTrainable(x, m, plan);
    const [value, dx, drouter, , , gateUp, down] = await differentiate(run, all.rows, all.mixture, p.target);
    const partly = await differentiate(run, some.rows, some.mixture, p.target);
    expect(partly.length).toBe(5);
    expect(partly).toEqual([value, dx, drouter, gateUp, down]);
  });

  it('learns: a step against the gradient lowers the loss', async () => {
    const p = problem(16, 6, 2, 9);
    const { rows, mixture } = upload(p);
    const plan = await dispatch(rows, mixture);
    const chosen = (row: number) =>
      p.experts.map((_, e) => e).filter((e) => plan.placeOfExpert[row * 6 + e]! < plan.rowOf.length);
    const before = loss(p, chosen);
    const [, , , ...dexperts] = await differentiate((x, m) => mixTrainable(x, m, plan), rows, mixture, p.target);
    p.experts.forEach(({ gateUp, down }, e) => {
      gateUp.forEach((w, i) => {
        gateUp[i] = w - 0.01 * dexperts[2 * e]![i]!;
      });
      down.forEach((w, i) => {
        down[i] = w - 0.01 * dexperts[2 * e + 1]![i]!;
      });
    });
    expect(loss(p, chosen)).toBeLessThan(before);
  });
});
