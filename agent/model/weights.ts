/**
 * One safetensors file in memory, and its numbers as fp32. Which tensors there must be is for whoever opens it to say.
 */
import type { Hash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { DTYPE_BYTES, headerBytes, LENGTH_BYTES, parseHeader, type TensorEntry } from './safetensors.ts';
import { ModelError } from './types.ts';

/** Weights are read in pieces, so that a cancelled or failing disk is noticed and the hash is taken on the way. */
const READ_BYTES = 1 << 22;

export interface WeightsFile {
  path: string;
  memory: SharedArrayBuffer;
  table: Map<string, TensorEntry>;
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

export function broken(file: string, tensor: string, reason: string): never {
  throw new ModelError('CHECKPOINT_BROKEN', `${file}: tensor ${tensor}: ${reason}`);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Undefined when a file that is not required is not there. */
export async function readJson(path: string, required: boolean): Promise<unknown> {
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

export async function readWeights(path: string, hash?: Hash): Promise<WeightsFile> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new ModelError(isMissing(cause) ? 'CHECKPOINT_MISSING' : 'CHECKPOINT_BROKEN', `cannot read ${path}`, {
      cause,
    });
  });
  try {
    const size = (await file.stat()).size;
    const memory = allocate(path, size);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await file.read(new Uint8Array(memory, at, Math.min(READ_BYTES, size - at)));
      if (bytesRead === 0) throw new ModelError('CHECKPOINT_BROKEN', `${path}: ended at byte ${at} of ${size}`);
      hash?.update(new Uint8Array(memory, at, bytesRead));
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

function allocate(path: string, bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch (cause) {
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${path}: ${bytes} bytes are more than one buffer holds`, { cause });
  }
}

/** Bits that are all set in an infinity or a NaN. */
const EXPONENT = { F16: 0x7c00, BF16: 0x7f80, F32: 0x7f800000, I8: 0 };

export function checkFinite(file: WeightsFile, name: string, entry: TensorEntry): void {
  const mask = EXPONENT[entry.dtype];
  const words = entry.dtype === 'F32' ? new Uint32Array(toFloat32(file, entry).slice().buffer) : halfWords(file, entry);
  const at = words.findIndex((word) => (word & mask) === mask);
  if (at >= 0) broken(file.path, name, `element ${at} is not a finite number`);
}

/** 16-bit words of an entry: a view where the file aligned it, a copy where it did not. */
export function halfWords(file: WeightsFile, entry: TensorEntry): Uint16Array {
  if (entry.begin % 2 === 0) return new Uint16Array(file.memory, entry.begin, entry.bytes / 2);
  return new Uint16Array(new Uint8Array(file.memory, entry.begin, entry.bytes).slice().buffer);
}

export function toFloat32(file: WeightsFile, entry: TensorEntry): Float32Array {
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
