/**
 * Weights × activations, the heart of the engine: int8 panels times int16 records, integer products (`pmaddwd` on x64),
 * one fp32 multiply-add a block. Activations keep 16 bits, not llama.cpp's 8: the integer dot product reads int16
 * anyway, so the precision is free. |sum of a block| ≤ 32 · 128 · 32,767 < 2³¹.
 *
 * The fp16 weight scale h is used as the fp32 with bits h << 13, which is h · 2⁻¹¹²; records carry the missing 2¹¹².
 */
import { PANEL_BLOCK } from './format';

@inline
function scales(at: usize): v128 {
  return i32x4.shl(v128.load16x4_u(at), 13);
}

@inline
function fused(total: v128, sum: v128, weight: v128, activation: v128): v128 {
  return f32x4.add(total, f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(weight, activation)));
}

@inline
function plus(sum: v128, w: v128, x: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(w, x));
}

/** One record times one panel: eight results at `o`. Decoding one sequence: bound by how fast weights can be read. */
export function tile1(panel: usize, blocks: i32, a: usize, o: usize): void {
  let s = a + (<usize>blocks << 6);
  let f0 = f32x4.splat(0);
  let f1 = f32x4.splat(0);
  const end = panel + <usize>blocks * PANEL_BLOCK;
  let p = panel;
  while (p < end) {
    let i0 = i32x4.splat(0);
    let i1 = i32x4.splat(0);
    let w = p + 16;
    const stop = p + PANEL_BLOCK;
    while (w < stop) {
      let x = v128.load32_splat(a, 0);
      i0 = plus(i0, v128.load8x8_s(w, 0), x);
      i1 = plus(i1, v128.load8x8_s(w, 8), x);
      x = v128.load32_splat(a, 4);
      i0 = plus(i0, v128.load8x8_s(w, 16), x);
      i1 = plus(i1, v128.load8x8_s(w, 24), x);
      x = v128.load32_splat(a, 8);
      i0 = plus(i0, v128.load8x8_s(w, 32), x);
      i1 = plus(i1, v128.load8x8_s(w, 40), x);
      x = v128.load32_splat(a, 12);
      i0 = plus(i0, v128.load8x8_s(w, 48), x);
      i1 = plus(i1, v128.load8x8_s(w, 56), x);
      w += 64;
      a += 16;
    }
    const g = v128.load32_splat(s);
    f0 = fused(f0, i0, scales(p), g);
    f1 = fused(f1, i1, scales(p + 8), g);
    s += 4;
    p = stop;
  }
  v128.store(o, f0);
  v128.store(o, f1, 16);
}

/** Two records times one panel. */
export function tile2(panel: usize, blocks: i32, a: usize, b: usize, oa: usize, ob: usize): void {
  let s = <usize>blocks << 6;
  let sa = a + s;
  let sb = b + s;
  let fa0 = f32x4.splat(0);
  let fa1 = f32x4.splat(0);
  let fb0 = f32x4.splat(0);
  let fb1 = f32x4.splat(0);
  const end = panel + <usize>blocks * PANEL_BLOCK;
  let p = panel;
  while (p < end) {
    let ia0 = i32x4.splat(0);
    let ia1 = i32x4.splat(0);
    let ib0 = i32x4.splat(0);
    let ib1 = i32x4.splat(0);
    let w = p + 16;
    const stop = p + PANEL_BLOCK;
    while (w < stop) {
      let w0 = v128.load8x8_s(w, 0);
      let w1 = v128.load8x8_s(w, 8);
      let x = v128.load32_splat(a, 0);
      ia0 = plus(ia0, w0, x);
      ia1 = plus(ia1, w1, x);
      x = v128.load32_splat(b, 0);
      ib0 = plus(ib0, w0, x);
      ib1 = plus(ib1, w1, x);
      w0 = v128.load8x8_s(w, 16);
      w1 = v128.load8x8_s(w, 24);
      x = v128.load32_splat(a, 4);
      ia0 = plus(ia0, w0, x);
      ia1 = plus(ia1, w1, x);
      x = v128.load32_splat(b, 4);
      ib0 = plus(ib0, w0, x);
      ib1 = plus(ib1, w1, x);
      w += 32;
      a += 8;
      b += 8;
    }
    const s0 = scales(p);
    const s1 = scales(p + 8);
    const ga = v128.load32_splat(sa);
    const gb = v128.load32_splat(sb);
    fa0 = fused(fa0, ia0, s0, ga);
    fa1 = fused(fa1, ia1, s1, ga);
    fb0 = fused(fb0, ib0, s0, gb);
    fb1 = fused(fb1, ib1, s1, gb);
    sa += 4;
    sb += 4;
    p = stop;
  }
  v128.store(oa, fa0);
  v128.store(oa, fa1, 16);
  v128.store(ob, fb0);
  v128.store(ob, fb1, 16);
}

/**
 * Four records, interleaved by `interleave`, times one panel: each widened weight serves four rows. TurboFan moves all
 * loads of a loop's body to its front, so the body holds one pair of columns only: two weights, four activations and
 * eight sums just fit the sixteen registers. Longer bodies spill the sums and run three times slower.
 */
export function tile4(panel: usize, blocks: i32, x: usize, o: usize, stride: usize, three: bool): void {
  let s = x + (<usize>blocks << 8);
  let fa0 = f32x4.splat(0);
  let fa1 = f32x4.splat(0);
  let fb0 = f32x4.splat(0);
  let fb1 = f32x4.splat(0);
  let fc0 = f32x4.splat(0);
  let fc1 = f32x4.splat(0);
  let fd0 = f32x4.splat(0);
  let fd1 = f32x4.splat(0);
  const end = panel + <usize>blocks * PANEL_BLOCK;
  let p = panel;
  while (p < end) {
    let ia0 = i32x4.splat(0);
    let ia1 = i32x4.splat(0);
    let ib0 = i32x4.splat(0);
    let ib1 = i32x4.splat(0);
    let ic0 = i32x4.splat(0);
    let ic1 = i32x4.splat(0);
    let id0 = i32x4.splat(0);
    let id1 = i32x4.splat(0);
    let w = p + 16;
    const stop = p + PANEL_BLOCK;
    while (w < stop) {
      const w0 = v128.load8x8_s(w, 0);
      const w1 = v128.load8x8_s(w, 8);
      const a = v128.load32_splat(x, 0);
      const b = v128.load32_splat(x, 4);
      const c = v128.load32_splat(x, 8);
      const d = v128.load32_splat(x, 12);
      ia0 = plus(ia0, w0, a);
      ia1 = plus(ia1, w1, a);
      ib0 = plus(ib0, w0, b);
      ib1 = plus(ib1, w1, b);
      ic0 = plus(ic0, w0, c);
      ic1 = plus(ic1, w1, c);
      id0 = plus(id0, w0, d);
      id1 = plus(id1, w1, d);
      w += 16;
      x += 16;
    }
    const s0 = scales(p);
    const s1 = scales(p + 8);
    let g = v128.load32_splat(s);
    fa0 = fused(fa0, ia0, s0, g);
    fa1 = fused(fa1, ia1, s1, g);
    g = v128.load32_splat(s, 4);
    fb0 = fused(fb0, ib0, s0, g);
    fb1 = fused(fb1, ib1, s1, g);
    g = v128.load32_splat(s, 8);
    fc0 = fused(fc0, ic0, s0, g);
    fc1 = fused(fc1, ic1, s1, g);
    g = v128.load32_splat(s, 12);
    fd0 = fused(fd0, id0, s0, g);
    fd1 = fused(fd1, id1, s1, g);
    s += 16;
    p = stop;
  }
  v128.store(o, fa0);
  v128.store(o, fa1, 16);
  o += stride;
  v128.store(o, fb0);
  v128.store(o, fb1, 16);
  o += stride;
  v128.store(o, fc0);
  v128.store(o, fc1, 16);
  if (three) return;
  o += stride;
  v128.store(o, fd0);
  v128.store(o, fd1, 16);
}
