/**
 * The mixture of experts: grouped dispatch beside the naive masked loop, which computes every expert over all rows and
 * masks afterwards (what FastMoE's papers compare with); and what a token costs on the `cpu` engine when experts become
 * more but no more of them are active.
 */
import * as tf from '@tensorflow/tfjs-core';
import { openCheckpoint } from '../../agent/model/checkpoint.ts';
import { openCpuEngine } from '../../agent/model/engines/cpu/index.ts';
import { openTfjsEngine } from '../../agent/model/engines/tfjs/index.ts';
import { type Mixture, mix, route, siluGate } from '../../agent/model/experts.ts';
import { SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import { multiply, uploadWeight } from '../../agent/model/product.ts';
import { randomFrom } from '../../agent/model/sampling.ts';
import { dispatchScores, mixTrainable, type TrainableMixture } from '../../agent/model/trainable-experts.ts';
import { type Engine, PAGE_TOKENS } from '../../agent/model/types.ts';
import { randomCheckpoint } from '../unit/agent/model/cpu/random.ts';
import { chosenMask, maskedLoop as trainableMaskedLoop } from '../unit/agent/model/masked-loop.ts';
import type { Row } from './main.ts';
import { compared } from './samples.ts';

const RUNS = 5;
const EXPERTS = [16, 32, 64, 128];
const TOP = [2, 4];
/** Shape of the shipped checkpoint's mixture; rows are a prefill step's. */
const SHAPE = { hidden: 256, width: 128 };
const ROWS = 128;

function randomMixture(experts: number, expertsPerToken: number): Mixture {
  const { hidden, width } = SHAPE;
  const random = randomFrom(experts);
  const matrix = (rows: number, cols: number) => ({
    shape: [rows, cols],
    values: Float32Array.from({ length: rows * cols }, () => (random() - 0.5) / 8),
  });
  return {
    ...SHAPE,
    expertsPerToken,
    router: matrix(experts, hidden).values,
    experts: Array.from({ length: experts }, () => ({
      gateUp: uploadWeight([matrix(width, hidden), matrix(width, hidden)]),
      down: uploadWeight([matrix(hidden, width)]),
    })),
  };
}

async function maskedLoop(x: Float32Array, mixture: Mixture): Promise<Float32Array> {
  const { hidden, width, expertsPerToken } = mixture;
  const { chosen, weights } = route(x, mixture);
  const out = new Float32Array(x.length);
  for (const [e, { gateUp, down }] of mixture.experts.entries()) {
    const y = await multiply(siluGate(await multiply(x, gateUp), width), down);
    chosen.forEach((expert, pair) => {
      if (expert !== e) return;
      const row = Math.floor(pair / expertsPerToken) * hidden;
      for (let j = 0; j < hidden; j++) out[row + j]! += weights[pair]! * y[row + j]!;
    });
  }
  return out;
}

async function* groupedRows(): AsyncGenerator<Row> {
  const engine = await openTfjsEngine('wasm', await openCheckpoint(SHIPPED_CHECKPOINT), { pages: 1, gpuOnly: false });
  const random = randomFrom(1);
  const x = Float32Array.from({ length: ROWS * SHAPE.hidden }, () => random() - 0.5);
  for (const count of EXPERTS)
    for (const top of TOP) {
      const mixture = randomMixture(count, top);
      const times: [number[], number[]] = [[], []];
      // The first turn packs the weights.
      for (let run = -1; run < RUNS; run++)
        for (const [side, compute] of [mix, maskedLoop].entries()) {
          const began = performance.now();
          await compute(x, mixture);
          if (run >= 0) times[side]!.push(performance.now() - began);
        }
      const note = `forward of ${ROWS} rows; at most ${count / top} by counting`;
      const name = `experts/forward/${count}/top-${top}`;
      yield compared({ name, unit: 'ms', peer: 'masked loop', threads: 1, note }, ...times);
      yield await trainingRow(x, mixture, note.replace('forward', 'training step'));
      for (const { gateUp, down } of mixture.experts) tf.dispose([gateUp, down]);
    }
  await engine.close();
}

/** Value and every gradient (rows, router, experts), from the routing on; both sides are one differentiable operation. */
async function trainingRow(x: Float32Array, { experts, expertsPerToken, router }: Mixture, note: string): Promise<Row> {
  const rows = tf.tensor2d(x, [ROWS, SHAPE.hidden]);
  const turned = tf.tidy(() => tf.transpose(tf.tensor2d(router, [experts.length, SHAPE.hidden])));
  const mixture: TrainableMixture = { router: turned, experts, expertsPerToken };
  const inputs = [rows, turned, ...experts.flatMap(({ gateUp, down }) => [gateUp, down])];
  const grouped = (scores: Float32Array) => {
    const plan = dispatchScores(scores, experts.length, expertsPerToken);
    return () => mixTrainable(rows, mixture, plan);
  };
  const masked = (scores: Float32Array) => {
    const mask = chosenMask(scores, experts.length, expertsPerToken);
    return () => trainableMaskedLoop(rows, mixture, mask);
  };
  const step = (side: typeof grouped) =>
    tf.tidy(() => {
      const compute = side(tf.matMul(rows, turned).dataSync<'float32'>());
      const gradients = tf.grads((..._: tf.Tensor[]) => compute())(inputs, tf.onesLike(rows));
      gradients.at(-1)?.dataSync();
    });
  const times: [number[], number[]] = [[], []];
  for (let run = -1; run < RUNS; run++)
    for (const [index, side] of [grouped, masked].entries()) {
      const began = performance.now();
      step(side);
      if (run >= 0) times[index]!.push(performance.now() - began);
    }
  tf.dispose([rows, turned]);
  const name = `experts/train/${experts.length}/top-${expertsPerToken}`;
  return compared({ name, unit: 'ms', peer: 'masked loop', threads: 1, note }, ...times);
}

const GROWN = [8, 16, 32, 64];
/** Steps of one timing. */
const STEPS = 48;
/** One chat, where each expert serves one row, and a class, where more experts mean more weights read in a step. */
const SEQUENCES = [1, 30];

/** Milliseconds a token. */
async function decodeCost(engine: Engine, sequences: number, vocabulary: number): Promise<number> {
  const began = performance.now();
  for (let past = 0; past < STEPS; past++)
    await engine.step({
      tokens: Int32Array.from({ length: sequences }, (_, n) => (n * 7_919 + past * 104_729) % vocabulary),
      sequences: Array.from({ length: sequences }, (_, n) => {
        const pages = Int32Array.from({ length: Math.ceil(STEPS / PAGE_TOKENS) }, (__, i) => n * 8 + i);
        return { start: n, count: 1, past, pages, logits: true };
      }),
    });
  return (performance.now() - began) / (STEPS * sequences);
}

/** Random weights in the shipped shape: routing spreads evenly, which is the dearest case. */
async function* growthRows(): AsyncGenerator<Row> {
  const { config } = await openCheckpoint(SHIPPED_CHECKPOINT);
  const engines = await Promise.all(
    GROWN.map((experts) =>
      openCpuEngine(randomCheckpoint({ ...config, experts }), { threads: 1, pages: 8 * Math.max(...SEQUENCES) }),
    ),
  );
  for (const sequences of SEQUENCES) {
    const times = GROWN.map((): number[] => []);
    for (let run = 0; run < RUNS; run++)
      for (const [i, engine] of engines.entries())
        times[i]!.push(1_000 * (await decodeCost(engine, sequences, config.vocabulary)));
    for (const [i, experts] of GROWN.entries()) {
      const note = `${config.expertsPerToken} active; ${sequences} sequence${sequences === 1 ? '' : 's'}`;
      const name = `experts/cost/cpu/${experts}/${sequences}`;
      yield compared({ name, unit: 'µs/token', peer: `${GROWN[0]} experts`, threads: 1, note }, times[i]!, times[0]!);
    }
  }
  for (const engine of engines) await engine.close();
}

export async function* rows(): AsyncGenerator<Row> {
  yield* groupedRows();
  yield* growthRows();
}
