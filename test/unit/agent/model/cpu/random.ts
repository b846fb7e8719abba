/** Random checkpoints in memory, and the repeatable randomness they are made of. */
import type { Checkpoint, FloatTensor, QuantisedTensor } from '../../../../../agent/model/checkpoint.ts';
import { dequantise } from '../../../../../agent/model/checkpoint.ts';
import { type CheckpointConfig, countParameters, tensorShapes } from '../../../../../agent/model/config.ts';
import { quantise } from '../../../../../agent/model/engines/cpu/quantise.ts';

/** Uniform numbers in [-1, 1): mulberry32. */
export function randomness(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

export function randomFloats(length: number, scale: number, random: () => number): Float32Array {
  return Float32Array.from({ length }, () => random() * scale);
}

const SMALL: CheckpointConfig = {
  name: 'random',
  version: '0',
  hidden: 64,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  experts: 6,
  expertsPerToken: 2,
  expertWidth: 32,
  vocabulary: 96,
  context: 640,
  ropeTheta: 10_000,
  rmsEps: 1e-6,
  tied: true,
  endTokens: [0],
};

/** A checkpoint with random weights, loud enough that every part of the network matters. */
export function randomCheckpoint(change: Partial<CheckpointConfig> = {}, seed = 1): Checkpoint {
  const config = { ...SMALL, ...change };
  const random = randomness(seed);
  const matrices = new Map<string, QuantisedTensor>();
  const vectors = new Map<string, FloatTensor>();
  for (const [name, shape] of tensorShapes(config)) {
    const length = shape.reduce((product, n) => product * n, 1);
    if (name.includes('norm'))
      vectors.set(name, { shape, values: randomFloats(length, 0.5, random).map((x) => 1 + x) });
    else if (name.includes('mlp.gate.')) vectors.set(name, { shape, values: randomFloats(length, 0.5, random) });
    else {
      const scale = name.includes('embed') ? 0.5 : 2 / Math.sqrt(shape[1]!);
      matrices.set(name, quantise(randomFloats(length, scale, random), shape[0]!, shape[1]!));
    }
  }
  return {
    directory: 'memory',
    config,
    sha256: '',
    ...countParameters(config),
    isQuantised: (name) => matrices.has(name),
    quantised: (name) => matrices.get(name)!,
    float(name) {
      const matrix = matrices.get(name);
      return matrix ? { shape: [matrix.rows, matrix.cols], values: dequantise(matrix) } : vectors.get(name)!;
    },
  };
}
