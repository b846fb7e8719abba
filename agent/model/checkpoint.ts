/**
 * A checkpoint directory, opened and checked: configuration, and every tensor as a view over shared memory, so that
 * engine threads read the same bytes. Shipped weights are Q8_0 (int8 in blocks of 32 along the last dimension, one fp16
 * scale a block, stored as `NAME` I8 [rows, cols] and `NAME.scale` F16 [rows, cols/32]); plain F32, F16 and BF16
 * directories, sharded or not, open as well.
 *
 * Everything wrong with a file is found here, before an engine starts, and named: file, tensor, reason.
 */
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type CheckpointConfig, countParameters, parseConfig, tensorShapes } from './config.ts';
import { DTYPE_BYTES, headerBytes, LENGTH_BYTES, parseHeader, type TensorEntry } from './safetensors.ts';
import { ModelError } from './types.ts';

/** Weights that share one scale, as in llama.cpp's Q8_0. */
export const BLOCK = 32;
/** Weights are read in pieces, so that a cancelled or failing disk is noticed and the hash is taken on the way. */
const READ_BYTES = 1 << 22;

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

interface WeightsFile {
  path: string;
  memory: SharedArrayBuffer;
  table: Map<string, TensorEntry>;
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
      found.set(name, { file, entry });
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

/** IEEE 754 half precision, from its bit pattern. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function broken(file: string, tensor: string, reason: string): never {
  throw new ModelError('CHECKPOINT_BROKEN', `${file}: tensor ${tensor}: ${reason}`);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

async function readJson(path: string, required: boolean): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissing(cause) && !required) return undefined;
    throw new ModelError(isMissing(cause) ? 'CHECKPOINT_MISSING' : 'CHECKPOINT_BROKEN', `cannot read ${path}`, {
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelError('CHECKPOINT_BROKEN', `${path}: not JSON`, { cause });
  }
}

const Index = z.object({ weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+\.safetensors$/)) });

async function weightFiles(directory: string): Promise<string[]> {
  const path = join(directory, 'model.safetensors.index.json');
  const index = await readJson(path, false);
  if (index === undefined) return ['model.safetensors'];
  const parsed = Index.safeParse(index);
  if (!parsed.success) throw new ModelError('CHECKPOINT_BROKEN', `${path}: not a safetensors index`);
  return [...new Set(Object.values(parsed.data.weight_map))].sort();
}

async function readWeights(path: string, hash: ReturnType<typeof createHash>): Promise<WeightsFile> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new ModelError(isMissing(cause) ? 'CHECKPOINT_MISSING' : 'CHECKPOINT_BROKEN', `cannot read ${path}`, {
      cause,
    });
  });
  try {
    const size = (await file.stat()).size;
    const memory = new SharedArrayBuffer(size);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await file.read(new Uint8Array(memory, at, Math.min(READ_BYTES, size - at)));
      if (bytesRead === 0) throw new ModelError('CHECKPOINT_BROKEN', `${path}: ended at byte ${at} of ${size}`);
      hash.update(new Uint8Array(memory, at, bytesRead));
      at += bytesRead;
    }
    // Text decoding refuses shared memory, so the header is copied out.
    const prefix = new Uint8Array(memory, 0, Math.min(LENGTH_BYTES, size)).slice();
    const header = new Uint8Array(memory, LENGTH_BYTES, headerBytes(path, prefix, size)).slice();
    return { path, memory, table: parseHeader(path, header, size) };
  } finally {
    await file.close();
  }
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

/** Bits that are all set in an infinity or a NaN. */
const EXPONENT = { F16: 0x7c00, BF16: 0x7f80, F32: 0x7f800000, I8: 0 };

function checkFinite(file: WeightsFile, name: string, entry: TensorEntry): void {
  const mask = EXPONENT[entry.dtype];
  const words = entry.dtype === 'F32' ? new Uint32Array(toFloat32(file, entry).slice().buffer) : halfWords(file, entry);
  const at = words.findIndex((word) => (word & mask) === mask);
  if (at >= 0) broken(file.path, name, `element ${at} is not a finite number`);
}

/** 16-bit words of an entry: a view where the file aligned it, a copy where it did not. */
function halfWords(file: WeightsFile, entry: TensorEntry): Uint16Array {
  if (entry.begin % 2 === 0) return new Uint16Array(file.memory, entry.begin, entry.bytes / 2);
  return new Uint16Array(new Uint8Array(file.memory, entry.begin, entry.bytes).slice().buffer);
}

function toFloat32(file: WeightsFile, entry: TensorEntry): Float32Array {
  const count = entry.bytes / DTYPE_BYTES[entry.dtype];
  if (entry.dtype === 'F32') {
    if (entry.begin % 4 === 0) return new Float32Array(file.memory, entry.begin, count);
    return new Float32Array(new Uint8Array(file.memory, entry.begin, entry.bytes).slice().buffer);
  }
  const words = halfWords(file, entry);
  const out = new Float32Array(count);
  if (entry.dtype === 'F16') {
    for (let i = 0; i < count; i++) out[i] = halfToFloat(words[i]!);
    return out;
  }
  // bfloat16 is the upper half of a float32.
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < count; i++) bits[i] = words[i]! << 16;
  return out;
}
