/** The dense products: queries, keys and values; the attention's output; the logits. */
import { exp4, max4, sum4 } from './arithmetic';
import { CHUNK, panelBytes, recordBytes } from './format';
import { listRows, multiply } from './multiply';
import { keepKey, keepQuery, keepValue } from './pages';
import {
  attended, head, headDim, heads, hidden, kvHeads, layerBase, layerStride, logits, normed, outputOffset, projected,
  qkvOffset, summaries, tile, vocabulary,
} from './shared';
import { claim, nextStage } from './sync';

/** Panels of a task of the output projection, and of the logits. */
@inline const OUTPUT_PANELS: i32 = 4;
@inline const LOGIT_PANELS: i32 = 16;

/** A task is one head (of queries, keys or values) over a chunk of rows; norm, RoPE and the KV pages follow at once. */
export function qkv(layer: i32, n: i32): void {
  nextStage();
  const base = layerBase + <usize>layer * layerStride + qkvOffset;
  const units = heads + 2 * kvHeads;
  const panels = headDim >> 3;
  const unit = <usize>panels * panelBytes(hidden);
  const bytes = recordBytes(hidden);
  const stride = <usize>headDim << 2;
  const tasks = units * ((n + CHUNK - 1) / CHUNK);
  for (let task = claim(); task < tasks; task = claim()) {
    const u = task % units;
    const first = (task / units) * CHUNK;
    const count = min(CHUNK, n - first);
    listRows(normed + <usize>first * bytes, bytes, count);
    multiply(base + <usize>u * unit, panels, hidden >> 5, count, tile, stride);
    for (let r = 0; r < count; r++) {
      const row = tile + <usize>r * stride;
      if (u < heads) keepQuery(layer, first + r, u, row);
      else if (u < heads + kvHeads) keepKey(layer, first + r, u - heads, row);
      else keepValue(layer, first + r, u - heads - kvHeads, row);
    }
  }
}

/** `panels` panels of `columns` columns times `n` records: a task is a group of panels over a chunk of rows. */
function product(
  matrix: usize, panels: i32, columns: i32, perTask: i32, records: usize, n: i32, out: usize, stride: usize,
): void {
  nextStage();
  const panel = panelBytes(columns);
  const bytes = recordBytes(columns);
  const groups = (panels + perTask - 1) / perTask;
  const tasks = groups * ((n + CHUNK - 1) / CHUNK);
  for (let task = claim(); task < tasks; task = claim()) {
    const p = (task % groups) * perTask;
    const first = (task / groups) * CHUNK;
    const count = min(CHUNK, n - first);
    listRows(records + <usize>first * bytes, bytes, count);
    const to = out + <usize>first * stride + (<usize>p << 5);
    multiply(matrix + <usize>p * panel, min(perTask, panels - p), columns >> 5, count, to, stride);
  }
}

export function output(layer: i32, n: i32): void {
  const matrix = layerBase + <usize>layer * layerStride + outputOffset;
  product(matrix, hidden >> 3, heads * headDim, OUTPUT_PANELS, attended, n, projected, <usize>hidden << 2);
}

export function makeLogits(n: i32): void {
  product(head, vocabulary >> 3, hidden, LOGIT_PANELS, normed, n, logits, <usize>vocabulary << 2);
}

/**
 * Of each row of logits its largest value m and Σ exp(x − m), two floats a row: every sampled token needs both, over the
 * whole vocabulary, and here they cost a tenth of what they cost outside. A logit that is no number makes the sum NaN.
 */
export function summarise(n: i32): void {
  nextStage();
  const bytes = <usize>vocabulary << 2;
  for (let row = claim(); row < n; row = claim()) {
    const from = logits + <usize>row * bytes;
    const end = from + bytes;
    let top = v128.load(from);
    for (let at = from; at < end; at += 16) top = f32x4.max(top, v128.load(at));
    const m = max4(top);
    const shift = f32x4.splat(m);
    let even = f32x4.splat(0);
    let odd = f32x4.splat(0);
    for (let at = from; at < end; at += 32) {
      even = f32x4.add(even, exp4(f32x4.sub(v128.load(at), shift)));
      odd = f32x4.add(odd, exp4(f32x4.sub(v128.load(at, 16), shift)));
    }
    store<f32>(summaries + (<usize>row << 3), m);
    store<f32>(summaries + (<usize>row << 3), sum4(f32x4.add(even, odd)), 4);
  }
}
