/** Row arithmetic in fp32: exponential, RMSNorm, and the step from floats to a quantised record. */
import { BLOCK } from './format';
import { epsilon } from './shared';

/** 2¹¹²: what the shifted fp16 scales of the weights lack, see dot.ts. */
@inline const FP16_SHIFT: f32 = 5.192296858534828e33;
/** Largest int16 of a record. */
@inline const LARGEST: f32 = 32_767;

@inline
function constant(x: f32): v128 {
  return f32x4.splat(x);
}

/** eˣ, relative error below 2e-7; arguments under -87 give about 1e-38. Cephes' range reduction and polynomial. */
@inline
export function exp4(x: v128): v128 {
  x = f32x4.min(f32x4.max(x, constant(-87)), constant(88));
  const n = f32x4.nearest(f32x4.mul(x, constant(1.44269504)));
  let r = f32x4.sub(x, f32x4.mul(n, constant(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, constant(-2.12194440e-4)));
  let y = constant(1.9875691500e-4);
  y = f32x4.add(f32x4.mul(y, r), constant(1.3981999507e-3));
  y = f32x4.add(f32x4.mul(y, r), constant(8.3334519073e-3));
  y = f32x4.add(f32x4.mul(y, r), constant(4.1665795894e-2));
  y = f32x4.add(f32x4.mul(y, r), constant(1.6666665459e-1));
  y = f32x4.add(f32x4.mul(y, r), constant(5.0000001201e-1));
  y = f32x4.add(f32x4.add(f32x4.mul(y, f32x4.mul(r, r)), r), constant(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(y, power);
}

@inline
export function sum4(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

@inline
export function max4(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** eˣ of `n` floats in place, for the tests: `n` a multiple of four. */
export function exponential(at: usize, n: i32): void {
  for (const end = at + (<usize>n << 2); at < end; at += 16) v128.store(at, exp4(v128.load(at)));
}

/** RMSNorm of `n` floats: out = in · weight / √(mean(in²) + ε). */
export function normalise(from: usize, weight: usize, to: usize, n: i32): void {
  let squares = f32x4.splat(0);
  const bytes = <usize>n << 2;
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(from + i);
    squares = f32x4.add(squares, f32x4.mul(v, v));
  }
  const factor = f32x4.splat(<f32>1 / sqrt<f32>(sum4(squares) / <f32>n + epsilon));
  for (let i: usize = 0; i < bytes; i += 16)
    v128.store(to + i, f32x4.mul(v128.load(weight + i), f32x4.mul(v128.load(from + i), factor)));
}

/** The largest |x| of `n` floats. */
@inline
export function largest(from: usize, n: i32): f32 {
  let m = f32x4.splat(0);
  for (const end = from + (<usize>n << 2); from < end; from += 16) m = f32x4.max(m, f32x4.abs(v128.load(from)));
  return max4(m);
}

/** `n` floats times `factor`, rounded to int16. */
@inline
export function roundTo16(from: usize, to: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (const end = from + (<usize>n << 2); from < end; from += 32) {
    const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(from), f)));
    const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(from, 16), f)));
    v128.store(to, i16x8.narrow_i32x4_s(low, high));
    to += 16;
  }
}

/** One block of 32 floats into a record: values at `values`, its scale at `scale`. */
export function quantiseBlock(from: usize, values: usize, scale: usize): void {
  const m = largest(from, BLOCK);
  roundTo16(from, values, BLOCK, m > 0 ? LARGEST / m : 0);
  store<f32>(scale, (m / LARGEST) * FP16_SHIFT);
}

/** `n` floats into the record at `record`. */
export function quantise(from: usize, record: usize, n: i32): void {
  const blocks = <usize>n >> 5;
  const scales = record + (<usize>n << 1);
  for (let b: usize = 0; b < blocks; b++) quantiseBlock(from + (b << 7), record + (b << 6), scales + (b << 2));
}
