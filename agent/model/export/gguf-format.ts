/**
 * The GGUF container, version 3: metadata, the table of tensors, and where each tensor's bytes go. Pure: values in,
 * header bytes and offsets out. What a Qwen3-MoE puts into it is `gguf.ts`.
 *
 * Layout (little-endian): magic, version, counts, key-value pairs, tensor table, padding, data; the data and every
 * tensor in it start at multiples of 32 bytes.
 */
const MAGIC = 'GGUF';
const VERSION = 3;
/** GGUF's default `general.alignment`. */
export const ALIGNMENT = 32;

/** Element types of tensors, with the bytes `count` elements take and the row length they need. */
export const TENSOR_TYPES = {
  F32: { id: 0, block: 1, blockBytes: 4 },
  Q8_0: { id: 8, block: 32, blockBytes: 34 },
  BF16: { id: 30, block: 1, blockBytes: 2 },
} as const;
export type TensorType = keyof typeof TENSOR_TYPES;

const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
export type Scalar =
  | { type: 'u32' | 'i32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string };
export type Value =
  | Scalar
  | { type: 'array'; of: 'i32' | 'f32'; values: number[] }
  | { type: 'array'; of: 'string'; values: string[] };

export interface TensorInfo {
  name: string;
  type: TensorType;
  /** Outermost first, as in safetensors; the file stores it innermost first. */
  shape: number[];
}

export interface Layout {
  /** Everything before the first tensor, padding included. */
  header: Uint8Array;
  /** Per tensor: bytes it takes, and zeros that follow it. */
  tensors: { bytes: number; padding: number }[];
  /** Of the whole file. */
  bytes: number;
}

export function tensorBytes({ type, shape }: TensorInfo): number {
  const { block, blockBytes } = TENSOR_TYPES[type];
  const count = shape.reduce((product, n) => product * n, 1);
  if (shape.at(-1)! % block !== 0) throw new RangeError(`rows of ${shape.at(-1)} are not whole blocks of ${block}`);
  return (count / block) * blockBytes;
}

/** Zeros needed after `bytes` bytes. */
const padding = (bytes: number) => -bytes & (ALIGNMENT - 1);

export function layOut(metadata: Map<string, Value>, infos: TensorInfo[]): Layout {
  const out = new Bytes();
  out.raw(new TextEncoder().encode(MAGIC));
  out.u32(VERSION);
  out.u64(infos.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    out.u32(VALUE_TYPES[value.type]);
    out.value(value);
  }
  const tensors: Layout['tensors'] = [];
  let offset = 0;
  for (const info of infos) {
    out.string(info.name);
    out.u32(info.shape.length);
    for (const length of info.shape.toReversed()) out.u64(length);
    out.u32(TENSOR_TYPES[info.type].id);
    out.u64(offset);
    const bytes = tensorBytes(info);
    tensors.push({ bytes, padding: padding(bytes) });
    offset += bytes + padding(bytes);
  }
  out.raw(new Uint8Array(padding(out.length)));
  return { header: out.take(), tensors, bytes: out.length + offset };
}

/** A growing little-endian buffer. */
class Bytes {
  length = 0;
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }
  u32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }
  u64(value: number): void {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }
  string(text: string): void {
    const utf8 = new TextEncoder().encode(text);
    this.u64(utf8.length);
    this.raw(utf8);
  }
  value(value: Value): void {
    if (value.type === 'array') {
      this.u32(VALUE_TYPES[value.of]);
      this.u64(value.values.length);
      for (const item of value.values) this.value({ type: value.of, value: item } as Scalar);
    } else if (value.type === 'string') this.string(value.value);
    else if (value.type === 'bool') this.raw(Uint8Array.of(value.value ? 1 : 0));
    else if (value.type === 'f32') {
      const at = this.#grow(4);
      this.#view.setFloat32(at, value.value, true);
    } else this.u32(value.value);
  }

  /** Makes room and returns where it begins. */
  #grow(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
