/**
 * Weights in the number formats other programs read, a piece at a time, so that no tensor is ever held twice in memory.
 * Pure. Nothing is rounded on the way to Q8_0: only blocks that a checkpoint already stores are copied.
 */
import { BLOCK, type QuantisedTensor } from '../checkpoint.ts';

/** Bytes handed to the file at a time: large enough that the call costs nothing, small beside any tensor that matters. */
const PIECE_BYTES = 1 << 20;
/** One Q8_0 block: its fp16 scale, then its 32 int8 weights. */
export const Q8_0_BLOCK_BYTES = 2 + BLOCK;

/** llama.cpp's Q8_0 of a matrix stored as int8 blocks, bit for bit: rows in order, scale before weights. */
export function* q8_0({ values, scales }: QuantisedTensor): Generator<Uint8Array> {
  const step = Math.floor(PIECE_BYTES / Q8_0_BLOCK_BYTES);
  for (let first = 0; first < scales.length; first += step) {
    const count = Math.min(step, scales.length - first);
    const piece = new Uint8Array(count * Q8_0_BLOCK_BYTES);
    const weights = new Int8Array(piece.buffer);
    for (let i = 0, at = 0; i < count; i++, at += Q8_0_BLOCK_BYTES) {
      const scale = scales[first + i]!;
      piece[at] = scale;
      piece[at + 1] = scale >> 8;
      const from = (first + i) * BLOCK;
      weights.set(values.subarray(from, from + BLOCK), at + 2);
    }
    yield piece;
  }
}

/** Little-endian fp32. */
export function* f32(values: Float32Array): Generator<Uint8Array> {
  const step = PIECE_BYTES / 4;
  for (let first = 0; first < values.length; first += step) {
    const part = values.subarray(first, first + step);
    const piece = new DataView(new ArrayBuffer(part.length * 4));
    for (let i = 0; i < part.length; i++) piece.setFloat32(i * 4, part[i]!, true);
    yield new Uint8Array(piece.buffer);
  }
}

/** Little-endian bfloat16, rounded to nearest, ties to even, as PyTorch rounds. `values` are finite. */
export function* bf16(values: Float32Array): Generator<Uint8Array> {
  const step = PIECE_BYTES / 2;
  const single = new Float32Array(1);
  const bits = new Uint32Array(single.buffer);
  for (let first = 0; first < values.length; first += step) {
    const count = Math.min(step, values.length - first);
    const piece = new Uint8Array(count * 2);
    for (let i = 0; i < count; i++) {
      single[0] = values[first + i]!;
      const word = bits[0]!;
      const rounded = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
      piece[2 * i] = rounded;
      piece[2 * i + 1] = rounded >> 8;
    }
    yield piece;
  }
}

/** True when bfloat16 holds every value exactly. */
export function fitsBf16(values: Float32Array): boolean {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return bits.every((word) => (word & 0xffff) === 0);
}
