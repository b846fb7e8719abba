/**
 * A checkpoint directory, opened and checked: configuration, and every tensor as a view over shared memory, so that
 * engine threads read the same bytes. Shipped weights are Q8_0 (int8 in blocks of 32 along the last dimension, one fp16
 * scale a block, stored as `NAME` I8 [rows, cols] and `NAME.scale` F16 [rows, cols/32]); plain F32, F16 and BF16
 * directories, sharded or not, open as well, with every expert by itself or all of a layer in one tensor.
 *
 * Everything wrong with a file is found here, before an engine starts, and named: file, tensor, reason.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { type CheckpointConfig, countParameters, parseConfig, tensorShapes } from './config.ts';
import { DTYPE_BYTES, type TensorEntry } from './safetensors.ts';
import { ModelError } from './types.ts';
import {
  broken,
  checkFinite,
  halfToFloat,
  halfWords,
  readJson,
  readWeights,
  toFloat32,
  type WeightsFile,
} from './weights.ts';

export { halfToFloat } from './weights.ts';

/** Weights that share one scale, as in llama.cpp's Q8_0. */
export const BLOCK = 32;

export interface QuantisedTensor {
  rows: number;
  cols: number;
  /** [rows, cols], a view over shared memory. */
  values: Int8Array;
  /** [rows, cols / 32] fp16 bit patterns, a view over shared memory. */
  scales: Uint16Array;
}
export interface FloatTensor {
  shape: number[];
  /** A fresh array unless the file stores F32; do not write into it. */
  values: Float32Array;
}

export interface Checkpoint {
  readonly directory: string;
  readonly config: CheckpointConfig;
  /** SHA-256 of the weights file (of all shards in name order), hex. */
  readonly sha256: string;
  readonly parameters: number;
  readonly activeParameters: number;
  /** Whether the matrix is stored as int8 blocks. */
  isQuantised(name: string): boolean;
  /** An int8 matrix as stored. Throws CHECKPOINT_UNSUPPORTED when it is stored in floating point. */
  quantised(name: string): QuantisedTensor;
  /** Any tensor as fp32, dequantised if need be. */
  float(name: string): FloatTensor;
}

export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const config = parseConfig(
    await readJson(join(directory, 'config.json'), true),
    await readJson(join(directory, 'generation_config.json'), false),
    directory,
  );
  const hash = createHash('sha256');
  const files: WeightsFile[] = [];
  for (const name of await weightFiles(directory)) files.push(await readWeights(join(directory, name), hash));
  const found = new Map<string, { file: WeightsFile; entry: TensorEntry }>();
  for (const file of files) {
    for (const [name, entry] of file.table) {
      const twice = found.get(name);
      if (twice) broken(file.path, name, `also stored in ${twice.file.path}`);
      for (const [part, view] of apart(name, entry)) found.set(part, { file, entry: view });
    }
  }
  checkTensors(config, found, files[0]!.path);

  const quantised = (name: string): QuantisedTensor => {
    const values = found.get(name);
    const scales = found.get(`${name}.scale`);
    if (!values || !scales)
      throw new ModelError('CHECKPOINT_UNSUPPORTED', `${directory}: tensor ${name} is not stored as int8 blocks`);
    const [rows, cols] = values.entry.shape as [number, number];
    return {
      rows,
      cols,
      values: new Int8Array(values.file.memory, values.entry.begin, values.entry.bytes),
      scales: halfWords(scales.file, scales.entry),
    };
  };
  return {
    directory,
    config,
    sha256: hash.digest('hex'),
    ...countParameters(config),
    isQuantised: (name) => found.get(name)?.entry.dtype === 'I8',
    quantised,
    float(name) {
      const tensor = found.get(name);
      if (!tensor) throw new ModelError('CHECKPOINT_BROKEN', `${directory}: tensor ${name} is missing`);
      const { file, entry } = tensor;
      if (entry.dtype === 'I8') return { shape: entry.shape, values: dequantise(quantised(name)) };
      return { shape: entry.shape, values: toFloat32(file, entry) };
    },
  };
}

/** fp32 values of int8 blocks: value = int8 × scale. */
export function dequantise({ values, scales }: QuantisedTensor): Float32Array {
  const out = new Float32Array(values.length);
  for (let block = 0; block < scales.length; block++) {
    const scale = halfToFloat(scales[block]!);
    const end = (block + 1) * BLOCK;
    for (let i = block * BLOCK; i < end; i++) out[i] = values[i]! * scale;
  }
  return out;
}

const Index = z.object({ weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+\.safetensors$/)) });

async function weightFiles(directory: string): Promise<string[]> {
  const path = join(directory, 'model.safetensors.index.json');
  const index = await readJson(path, false);
  if (index === undefined) return ['model.safetensors'];
  const parsed = Index.safeParse(index);
  const files = new Set(Object.values(parsed.data?.weight_map ?? {}));
  if (files.size === 0)
    throw new ModelError('CHECKPOINT_BROKEN', `${path}: not an index of safetensors files in this directory`);
  return [...files].sort();
}

/** A layer's experts as transformers keeps them in memory: gate rows, then up rows, of one after the other. */
const MERGED = /^(.*\.mlp\.experts\.)(gate_up_proj|down_proj)$/;

/** The tensor itself, or, of merged experts, a view for each expert's matrices under the names they have alone. */
function apart(name: string, entry: TensorEntry): [string, TensorEntry][] {
  const [, prefix, kind] = MERGED.exec(name) ?? [];
  const [experts, rows, cols] = entry.shape;
  if (prefix === undefined || experts === undefined || rows === undefined || cols === undefined) return [[name, entry]];
  const matrices = kind === 'gate_up_proj' ? ['gate_proj', 'up_proj'] : ['down_proj'];
  const height = Math.floor(rows / matrices.length);
  const bytes = height * cols * DTYPE_BYTES[entry.dtype];
  return Array.from({ length: experts * matrices.length }, (_, i) => [
    `${prefix}${Math.floor(i / matrices.length)}.${matrices[i % matrices.length]}.weight`,
    { dtype: entry.dtype, shape: [height, cols], begin: entry.begin + i * bytes, bytes },
  ]);
}

/** Every tensor of the network is present, in a shape and type it can be computed with, and made of numbers. */
function checkTensors(
  config: CheckpointConfig,
  found: Map<string, { file: WeightsFile; entry: TensorEntry }>,
  defaultFile: string,
): void {
  const same = (a: number[], b: number[]) => a.length === b.length && a.every((n, i) => n === b[i]);
  for (const [name, shape] of tensorShapes(config)) {
    const tensor = found.get(name);
    if (!tensor) broken(defaultFile, name, 'is missing');
    const { file, entry } = tensor;
    if (!same(entry.shape, shape))
      broken(file.path, name, `has shape [${entry.shape}], config.json asks for [${shape}]`);
    if (entry.dtype !== 'I8') {
      checkFinite(file, name, entry);
      continue;
    }
    const [rows, cols] = shape;
    if (cols === undefined || cols % BLOCK !== 0)
      broken(file.path, name, `int8 needs a matrix with rows in blocks of ${BLOCK}`);
    const scale = found.get(`${name}.scale`);
    if (!scale) broken(file.path, `${name}.scale`, 'is missing');
    const wanted = [rows!, cols / BLOCK];
    if (scale.entry.dtype !== 'F16' || !same(scale.entry.shape, wanted))
      broken(scale.file.path, `${name}.scale`, `is ${scale.entry.dtype} [${scale.entry.shape}], not F16 [${wanted}]`);
    checkFinite(scale.file, `${name}.scale`, scale.entry);
  }
}
