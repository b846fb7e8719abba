/**
 * What happens to a row (one token) between the matrix products: embedding, residual sums, norms, routing, quantising.
 */
import { exp4, normalise, quantise, sum4 } from './arithmetic';
import { group } from './experts';
import { PANEL_BLOCK, panelBytes, recordBytes } from './format';
import {
  chosen, embedding, expertOut, experts, finalNorm, hidden, inputNormOffset, layerBase, layerStride, normed, places,
  postNormOffset, projected, residual, routerOffset, tile, tokens, topK, weights,
} from './shared';
import { arriveLast, barrier, claim, nextStage, release } from './sync';

/** The kinds of row work. */
export const EMBED: i32 = 0;
export const COMBINE: i32 = 1;
export const ROUTE: i32 = 2;
export const FINAL: i32 = 3;

/** Up to so many rows the last thread at the barrier does them all: a second barrier would cost more than they do. */
@inline const SERIAL_ROWS: i32 = 2;
/** Rows of one task. */
@inline const ROWS_PER_TASK: i32 = 2;

/** Does `kind` for rows 0…n-1. A barrier stands before it (all of the stage before is done) and one after it. */
export function betweenStages(kind: i32, layer: i32, n: i32): void {
  if (n > SERIAL_ROWS) {
    barrier();
    nextStage();
    for (let first = claim() * ROWS_PER_TASK; first < n; first = claim() * ROWS_PER_TASK) {
      const end = min(first + ROWS_PER_TASK, n);
      for (let r = first; r < end; r++) rowWork(kind, layer, r);
    }
  }
  if (arriveLast()) {
    if (n <= SERIAL_ROWS) for (let r = 0; r < n; r++) rowWork(kind, layer, r);
    if (kind === ROUTE) group(n);
    release();
  }
}

function rowWork(kind: i32, layer: i32, r: i32): void {
  const bytes = <usize>hidden << 2;
  const x = residual + <usize>r * bytes;
  const base = layerBase + <usize>layer * layerStride;
  const record = normed + <usize>r * recordBytes(hidden);
  if (kind === EMBED) embed(load<i32>(tokens + (<usize>r << 2)), x);
  else if (kind === ROUTE) add(x, projected + <usize>r * bytes, 1);
  else combine(r, x);
  if (kind === FINAL) {
    const out = projected + <usize>r * bytes;
    normalise(x, finalNorm, out, hidden);
    quantise(out, record, hidden);
    return;
  }
  const norm = base + (kind === ROUTE ? postNormOffset : inputNormOffset);
  normalise(x, norm, tile, hidden);
  quantise(tile, record, hidden);
  if (kind === ROUTE) route(r, base + routerOffset);
}

/** The token's row of the embedding panels, as fp32. */
export function embed(token: i32, to: usize): void {
  const lane = <usize>(token & 7) << 1;
  let block = embedding + <usize>(token >> 3) * panelBytes(hidden);
  for (const end = to + (<usize>hidden << 2); to < end; block += PANEL_BLOCK) {
    // fp16 → fp32: shift the bits into place and mend the exponent. Scales are finite and not negative.
    const scale = reinterpret<f32>(<i32>load<u16>(block + lane) << 13) * <f32>5.192296858534828e33;
    for (let at = block + 16 + lane, stop = at + 256; at < stop; at += 16) {
      store<f32>(to, <f32>load<i8>(at) * scale);
      store<f32>(to, <f32>load<i8>(at, 1) * scale, 4);
      to += 8;
    }
  }
}

function add(to: usize, from: usize, weight: f32): void {
  const w = f32x4.splat(weight);
  for (const end = to + (<usize>hidden << 2); to < end; to += 16) {
    v128.store(to, f32x4.add(v128.load(to), f32x4.mul(v128.load(from), w)));
    from += 16;
  }
}

/** Adds the outputs of the row's experts to the residual, in their order of choice whoever computed them. */
function combine(r: i32, x: usize): void {
  for (let k = 0; k < topK; k++) {
    const slot = <usize>(r * topK + k) << 2;
    const row = <usize>load<i32>(places + slot);
    add(x, expertOut + row * (<usize>hidden << 2), load<f32>(weights + slot));
  }
}

/** fp32 softmax over all experts of the normed row (in `tile`), the `topK` best, their weights divided by their sum. */
function route(r: i32, router: usize): void {
  const bytes = <usize>hidden << 2;
  const logit = tile + bytes;
  let best: f32 = -Infinity;
  for (let e = 0; e < experts; e++) {
    let s = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16)
      s = f32x4.add(s, f32x4.mul(v128.load(tile + i), v128.load(router + i)));
    const value = sum4(s);
    best = max(best, value);
    store<f32>(logit + (<usize>e << 2), value);
    router += bytes;
  }
  // The softmax's own sum cancels when the chosen weights are divided by theirs.
  let total: f32 = 0;
  const slots = <usize>(r * topK) << 2;
  for (let k = 0; k < topK; k++) {
    let top = 0;
    let value: f32 = -Infinity;
    for (let e = 0; e < experts; e++) {
      const v = load<f32>(logit + (<usize>e << 2));
      if (v > value) {
        value = v;
        top = e;
      }
    }
    store<f32>(logit + (<usize>top << 2), -Infinity);
    store<i32>(chosen + slots + (<usize>k << 2), top);
    const weight = f32x4.extract_lane(exp4(f32x4.splat(value - best)), 0);
    store<f32>(weights + slots + (<usize>k << 2), weight);
    total += weight;
  }
  for (let k = 0; k < topK; k++) {
    const at = weights + slots + (<usize>k << 2);
    store<f32>(at, load<f32>(at) / total);
  }
}
