/** Floating-point matrices to int8 in blocks of 32 with fp16 scales: llama.cpp's `quantize_row_q8_0_ref`. */
import type { QuantisedTensor } from '../../checkpoint.ts';
import { BLOCK } from './layout.ts';

/** Nearest half-precision bit pattern of a number ≥ 0, ties to even; past the largest, the largest. */
export function toHalf(value: number): number {
  if (!(value > 0)) return 0;
  // Below 2⁻¹⁴ halves are spaced 2⁻²⁴; above, 2^(exponent - 10).
  const exponent = Math.max(Math.floor(Math.log2(value)), -14);
  const spacing = 2 ** (exponent - 10);
  const steps = value / spacing;
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // The bits count on through the exponent, so a carry out of the fraction is right by itself.
  return Math.min((exponent + 14) * 1024 + rounded, 0x7bff);
}

export function quantise(weights: Float32Array, rows: number, cols: number): QuantisedTensor {
  const values = new Int8Array(rows * cols);
  const scales = new Uint16Array(values.length / BLOCK);
  for (let block = 0; block < scales.length; block++) {
    const start = block * BLOCK;
    let largest = 0;
    for (let i = start; i < start + BLOCK; i++) largest = Math.max(largest, Math.abs(weights[i]!));
    const scale = Math.fround(largest / 127);
    scales[block] = toHalf(scale);
    if (scale === 0) continue;
    const inverse = Math.fround(1 / scale);
    for (let i = start; i < start + BLOCK; i++) {
      const x = Math.fround(weights[i]! * inverse);
      values[i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
    }
  }
  return { rows, cols, values, scales };
}
