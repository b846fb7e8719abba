/**
 * What attention reads: queries, and KV pages of 16 tokens. Keys and values are kept as int16 (14 bits) with one fp32
 * scale a token and head: half the memory of fp32, twice the products an instruction, an error far below that of int8
 * weights.
 *
 * A page of one head: keys [headDim / 2][16 tokens][2], 16 scales, values [headDim / 16][8 pairs of tokens][16][2], 16
 * scales. In both, what is summed lies in pairs, four tokens (keys) or four dimensions (values) fill a register, and a
 * page is read from its first byte to its last.
 */
import { largest, normalise, roundTo16 } from './arithmetic';
import {
  cosine, headDim, heads, kNormOffset, kv, kvHeads, layerBase, layerStride, pageCount, pages, pagesAt,
  positions, qNormOffset, queries, scores, sine,
} from './shared';

/** 14 bits: 32 products of two such numbers just fit 31 bits. */
@inline export const LARGEST: f32 = 8191;

/** Bytes of a page's keys, or of its values. */
@inline
export function keysBytes(): usize {
  return <usize>headDim << 5;
}

/** The page that holds `position` of row `r`'s sequence, for one KV head. */
@inline
export function pageOf(layer: i32, r: i32, index: i32, head: i32): usize {
  const list = load<i32>(pagesAt + (<usize>r << 2)) + index;
  const page = load<i32>(pages + (<usize>list << 2));
  const bytes = (keysBytes() + 64) << 1;
  return kv + (<usize>(layer * pageCount + page) * <usize>kvHeads + <usize>head) * bytes;
}

/** A query is int16 [headDim] and its scale. */
@inline
export function queryBytes(): usize {
  return (<usize>headDim << 1) + 16;
}

/** RMSNorm, then RoPE in the rotate-half layout, in place. */
function normAndTurn(row: usize, weight: usize, position: i32): void {
  normalise(row, weight, row, headDim);
  const half = <usize>headDim << 1;
  const table = <usize>position * half;
  for (let i: usize = 0; i < half; i += 16) {
    const c = v128.load(cosine + table + i);
    const s = v128.load(sine + table + i);
    const a = v128.load(row + i);
    const b = v128.load(row + half + i);
    v128.store(row + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(row + half + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
}

/** `row` as 14-bit int16 at `to`; returns the scale. (Keys and values pass through `scores`, free at that stage.) */
function round14(row: usize, to: usize): f32 {
  const m = largest(row, headDim);
  roundTo16(row, to, headDim, m > 0 ? LARGEST / m : 0);
  return m / LARGEST;
}

export function keepQuery(layer: i32, r: i32, head: i32, row: usize): void {
  normAndTurn(row, layerBase + <usize>layer * layerStride + qNormOffset, load<i32>(positions + (<usize>r << 2)));
  const to = queries + <usize>(r * heads + head) * queryBytes();
  const scale = round14(row, to) / sqrt<f32>(<f32>headDim);
  store<f32>(to + (<usize>headDim << 1), scale);
}

export function keepKey(layer: i32, r: i32, head: i32, row: usize): void {
  const position = load<i32>(positions + (<usize>r << 2));
  normAndTurn(row, layerBase + <usize>layer * layerStride + kNormOffset, position);
  const slot = <usize>(position & 15);
  const page = pageOf(layer, r, position >> 4, head);
  store<f32>(page + keysBytes() + (slot << 2), round14(row, scores));
  const at = page + (slot << 2);
  for (let pair: usize = 0; pair < <usize>headDim >> 1; pair++)
    store<i32>(at + (pair << 6), load<i32>(scores + (pair << 2)));
}

export function keepValue(layer: i32, r: i32, head: i32, row: usize): void {
  const position = load<i32>(positions + (<usize>r << 2));
  const slot = <usize>(position & 15);
  const values = pageOf(layer, r, position >> 4, head) + keysBytes() + 64;
  store<f32>(values + keysBytes() + (slot << 2), round14(row, scores));
  const at = values + ((slot >> 1) << 6) + ((slot & 1) << 1);
  for (let i: usize = 0; i < <usize>headDim; i++)
    store<i16>(at + ((i >> 4) << 9) + ((i & 15) << 2), load<i16>(scores + (i << 1)));
}
