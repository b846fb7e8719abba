/** Attention of each row over its sequence's KV pages; the layout of a page is told in pages.ts. */
import { exp4, max4, quantiseBlock, roundTo16, sum4 } from './arithmetic';
import { recordBytes } from './format';
import { keysBytes, LARGEST, pageOf, queryBytes } from './pages';
import { attended, headDim, heads, kvHeads, positions, queries, scores, tile, wanted } from './shared';
import { claim, nextStage } from './sync';

/** Pages whose largest weight is below this add nothing. */
@inline const NOTHING: f32 = 1e-30;

/** A task is one row and one KV head; its query heads go two by two, so each page is read once for both. */
export function attend(layer: i32, n: i32, onlyWanted: bool): void {
  nextStage();
  const tasks = n * kvHeads;
  const size = heads / kvHeads;
  for (let task = claim(); task < tasks; task = claim()) {
    const place = task / kvHeads;
    const head = task % kvHeads;
    const r = onlyWanted ? load<i32>(wanted + (<usize>place << 2)) : place;
    for (let h = 0; h < size; h += 2) {
      const first = head * size + h;
      attendPair(layer, r, head, first, h + 1 < size ? first + 1 : first, place);
    }
  }
}

function attendPair(layer: i32, r: i32, head: i32, h0: i32, h1: i32, place: i32): void {
  const count = load<i32>(positions + (<usize>r << 2)) + 1;
  const pageTotal = (count + 15) >> 4;
  const row = <usize>pageTotal << 6;
  const s0 = scores;
  const s1 = scores + row;
  const q0 = queries + <usize>(r * heads + h0) * queryBytes();
  const q1 = queries + <usize>(r * heads + h1) * queryBytes();
  for (let i = 0; i < pageTotal; i++) {
    const at = <usize>i << 6;
    scorePage(pageOf(layer, r, i, head), q0, q1, s0 + at, s1 + at);
  }
  const sum0 = softmax(s0, count, pageTotal);
  const sum1 = softmax(s1, count, pageTotal);
  const o0 = tile;
  const o1 = tile + (<usize>headDim << 2);
  memory.fill(tile, 0, <usize>headDim << 3);
  for (let i = 0; i < pageTotal; i++) {
    const at = <usize>i << 6;
    addPage(pageOf(layer, r, i, head) + keysBytes() + 64, s0 + at, s1 + at, o0, o1);
  }
  keepOutput(o0, <f32>1 / sum0, place, h0);
  if (h1 !== h0) keepOutput(o1, <f32>1 / sum1, place, h1);
}

/** One head's output, scaled, into its blocks of the row's record. */
function keepOutput(from: usize, factor: f32, place: i32, h: i32): void {
  const f = f32x4.splat(factor);
  const bytes = <usize>headDim << 2;
  for (let i: usize = 0; i < bytes; i += 16) v128.store(from + i, f32x4.mul(v128.load(from + i), f));
  const columns = heads * headDim;
  const record = attended + <usize>place * recordBytes(columns);
  const column = <usize>(h * headDim);
  const values = record + (column << 1);
  const scales = record + (<usize>columns << 1) + (column >> 3);
  for (let b: usize = 0; b < <usize>headDim >> 5; b++)
    quantiseBlock(from + (b << 7), values + (b << 6), scales + (b << 2));
}

/** In place: e^(score - max); what lies past `count` becomes 0. Returns the sum. */
function softmax(at: usize, count: i32, pageTotal: i32): f32 {
  for (let t = count; t < pageTotal << 4; t++) store<f32>(at + (<usize>t << 2), -Infinity);
  const end = at + (<usize>pageTotal << 6);
  let m = v128.load(at);
  for (let i = at + 16; i < end; i += 16) m = f32x4.max(m, v128.load(i));
  const top = f32x4.splat(max4(m));
  let sum = f32x4.splat(0);
  for (let i = at; i < end; i += 16) {
    const e = exp4(f32x4.sub(v128.load(i), top));
    v128.store(i, e);
    sum = f32x4.add(sum, e);
  }
  for (let t = count; t < pageTotal << 4; t++) store<f32>(at + (<usize>t << 2), 0);
  return sum4(sum);
}

/** The scores of a page's 16 tokens for two queries. Integer sums are taken over to fp32 every 32 dimensions. */
function scorePage(page: usize, q0: usize, q1: usize, to0: usize, to1: usize): void {
  const scale0 = load<f32>(q0 + (<usize>headDim << 1));
  const scale1 = load<f32>(q1 + (<usize>headDim << 1));
  const scales = page + keysBytes();
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let b3 = f32x4.splat(0);
  let k = page;
  while (k < scales) {
    let i0 = i32x4.splat(0);
    let i1 = i32x4.splat(0);
    let i2 = i32x4.splat(0);
    let i3 = i32x4.splat(0);
    let j0 = i32x4.splat(0);
    let j1 = i32x4.splat(0);
    let j2 = i32x4.splat(0);
    let j3 = i32x4.splat(0);
    for (const stop = k + 1024; k < stop; k += 64) {
      const x = v128.load32_splat(q0);
      const y = v128.load32_splat(q1);
      let v = v128.load(k);
      i0 = i32x4.add(i0, i32x4.dot_i16x8_s(v, x));
      j0 = i32x4.add(j0, i32x4.dot_i16x8_s(v, y));
      v = v128.load(k, 16);
      i1 = i32x4.add(i1, i32x4.dot_i16x8_s(v, x));
      j1 = i32x4.add(j1, i32x4.dot_i16x8_s(v, y));
      v = v128.load(k, 32);
      i2 = i32x4.add(i2, i32x4.dot_i16x8_s(v, x));
      j2 = i32x4.add(j2, i32x4.dot_i16x8_s(v, y));
      v = v128.load(k, 48);
      i3 = i32x4.add(i3, i32x4.dot_i16x8_s(v, x));
      j3 = i32x4.add(j3, i32x4.dot_i16x8_s(v, y));
      q0 += 4;
      q1 += 4;
    }
    a0 = f32x4.add(a0, f32x4.convert_i32x4_s(i0));
    a1 = f32x4.add(a1, f32x4.convert_i32x4_s(i1));
    a2 = f32x4.add(a2, f32x4.convert_i32x4_s(i2));
    a3 = f32x4.add(a3, f32x4.convert_i32x4_s(i3));
    b0 = f32x4.add(b0, f32x4.convert_i32x4_s(j0));
    b1 = f32x4.add(b1, f32x4.convert_i32x4_s(j1));
    b2 = f32x4.add(b2, f32x4.convert_i32x4_s(j2));
    b3 = f32x4.add(b3, f32x4.convert_i32x4_s(j3));
  }
  const x = f32x4.splat(scale0);
  const y = f32x4.splat(scale1);
  let s = v128.load(scales);
  v128.store(to0, f32x4.mul(a0, f32x4.mul(s, x)));
  v128.store(to1, f32x4.mul(b0, f32x4.mul(s, y)));
  s = v128.load(scales, 16);
  v128.store(to0, f32x4.mul(a1, f32x4.mul(s, x)), 16);
  v128.store(to1, f32x4.mul(b1, f32x4.mul(s, y)), 16);
  s = v128.load(scales, 32);
  v128.store(to0, f32x4.mul(a2, f32x4.mul(s, x)), 32);
  v128.store(to1, f32x4.mul(b2, f32x4.mul(s, y)), 32);
  s = v128.load(scales, 48);
  v128.store(to0, f32x4.mul(a3, f32x4.mul(s, x)), 48);
  v128.store(to1, f32x4.mul(b3, f32x4.mul(s, y)), 48);
}

/** Sixteen weights times the tokens' value scales, as 14-bit int16 at `to`; returns their scale, or 0 if all vanish. */
function roundWeights(weights: usize, valueScales: usize, to: usize): f32 {
  const w0 = f32x4.mul(v128.load(weights), v128.load(valueScales));
  const w1 = f32x4.mul(v128.load(weights, 16), v128.load(valueScales, 16));
  const w2 = f32x4.mul(v128.load(weights, 32), v128.load(valueScales, 32));
  const w3 = f32x4.mul(v128.load(weights, 48), v128.load(valueScales, 48));
  const m = max4(f32x4.max(f32x4.max(w0, w1), f32x4.max(w2, w3)));
  if (m < NOTHING) {
    memory.fill(to, 0, 32);
    return 0;
  }
  v128.store(weights, w0);
  v128.store(weights, w1, 16);
  v128.store(weights, w2, 32);
  v128.store(weights, w3, 48);
  roundTo16(weights, to, 16, LARGEST / m);
  return m / LARGEST;
}

/** Adds a page's values, weighted for two queries, to `o0` and `o1`. The weights are used up. */
function addPage(values: usize, weights0: usize, weights1: usize, o0: usize, o1: usize): void {
  const scales = values + keysBytes();
  const p0 = o0 + (<usize>headDim << 3);
  const p1 = p0 + 32;
  const f0 = roundWeights(weights0, scales, p0);
  const f1 = roundWeights(weights1, scales, p1);
  if (f0 === 0 && f1 === 0) return;
  const x = f32x4.splat(f0);
  const y = f32x4.splat(f1);
  let at = values;
  for (const end = o0 + (<usize>headDim << 2); o0 < end; o0 += 64) {
    let i0 = i32x4.splat(0);
    let i1 = i32x4.splat(0);
    let i2 = i32x4.splat(0);
    let i3 = i32x4.splat(0);
    let j0 = i32x4.splat(0);
    let j1 = i32x4.splat(0);
    let j2 = i32x4.splat(0);
    let j3 = i32x4.splat(0);
    for (let pair: usize = 0; pair < 32; pair += 4) {
      const u = v128.load32_splat(p0 + pair);
      const w = v128.load32_splat(p1 + pair);
      let v = v128.load(at);
      i0 = i32x4.add(i0, i32x4.dot_i16x8_s(v, u));
      j0 = i32x4.add(j0, i32x4.dot_i16x8_s(v, w));
      v = v128.load(at, 16);
      i1 = i32x4.add(i1, i32x4.dot_i16x8_s(v, u));
      j1 = i32x4.add(j1, i32x4.dot_i16x8_s(v, w));
      v = v128.load(at, 32);
      i2 = i32x4.add(i2, i32x4.dot_i16x8_s(v, u));
      j2 = i32x4.add(j2, i32x4.dot_i16x8_s(v, w));
      v = v128.load(at, 48);
      i3 = i32x4.add(i3, i32x4.dot_i16x8_s(v, u));
      j3 = i32x4.add(j3, i32x4.dot_i16x8_s(v, w));
      at += 64;
    }
    accumulate(o0, 0, i0, x);
    accumulate(o0, 16, i1, x);
    accumulate(o0, 32, i2, x);
    accumulate(o0, 48, i3, x);
    accumulate(o1, 0, j0, y);
    accumulate(o1, 16, j1, y);
    accumulate(o1, 32, j2, y);
    accumulate(o1, 48, j3, y);
    o1 += 64;
  }
}

@inline
function accumulate(at: usize, offset: usize, sum: v128, factor: v128): void {
  v128.store(at + offset, f32x4.add(v128.load(at + offset), f32x4.mul(f32x4.convert_i32x4_s(sum), factor)));
}
