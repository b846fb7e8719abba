/**
 * The experts, grouped: rows are sorted by expert, and each expert that has rows is read from memory once a step and
 * applied to all of its rows, however many sequences they come from.
 */
import { exp4, quantiseBlock } from './arithmetic';
import { BLOCK, CHUNK, panelBytes, recordBytes } from './format';
import { listRows, multiply } from './multiply';
import {
  active, chosen, downOffset, expertOut, experts, gateUpOffset, hidden, inner, layerBase, layerStride, members,
  normed, places, rowList, starts, tile, topK, width,
} from './shared';
import { claim, nextStage } from './sync';

/** Panels of a down-projection task. */
@inline const DOWN_PANELS: i32 = 8;

/** Experts with rows in this layer; kept in memory because one thread counts for all. */
@inline
function activeCount(): i32 {
  return load<i32>(active + (<usize>experts << 2));
}

/** Counting sort of the `n · topK` choices by expert: `members` (row of each place) and `places` (its inverse). */
export function group(n: i32): void {
  const choices = n * topK;
  memory.fill(starts, 0, <usize>(experts + 1) << 2);
  for (let i = 0; i < choices; i++) {
    const at = starts + (<usize>(load<i32>(chosen + (<usize>i << 2)) + 1) << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
  let count = 0;
  for (let e = 0; e < experts; e++) {
    const at = starts + (<usize>e << 2);
    if (load<i32>(at, 4) > 0) {
      store<i32>(active + (<usize>count << 2), e);
      count++;
    }
    store<i32>(at, load<i32>(at) + load<i32>(at, 4), 4);
  }
  store<i32>(active + (<usize>experts << 2), count);
  // `starts[e]` serves as the expert's cursor while filling, which leaves it at its end, the start of the next one.
  for (let i = 0; i < choices; i++) {
    const cursor = starts + (<usize>load<i32>(chosen + (<usize>i << 2)) << 2);
    const place = load<i32>(cursor);
    store<i32>(cursor, place + 1);
    store<i32>(places + (<usize>i << 2), place);
    store<i32>(members + (<usize>place << 2), i / topK);
  }
}

/** First place of an expert after `group`: the cursors have moved one expert on. */
@inline
function firstPlace(e: i32): i32 {
  return e === 0 ? 0 : load<i32>(starts + (<usize>(e - 1) << 2));
}

@inline
function endPlace(e: i32): i32 {
  return load<i32>(starts + (<usize>e << 2));
}

/** silu(gate · x) · (up · x), quantised, into `inner`. A task: a block of 32 of one expert's width, over all its rows. */
export function gateUp(layer: i32): void {
  nextStage();
  const blocks = width >> 5;
  const panel = panelBytes(hidden);
  const base = layerBase + <usize>layer * layerStride + gateUpOffset;
  const bytes = recordBytes(hidden);
  const out = recordBytes(width);
  const tasks = activeCount() * blocks;
  for (let task = claim(); task < tasks; task = claim()) {
    const e = load<i32>(active + (<usize>(task / blocks) << 2));
    const b = task % blocks;
    // Four panels of gate and four of up, side by side; see pack.ts.
    const weights = base + <usize>(e * blocks + b) * (panel << 3);
    const end = endPlace(e);
    for (let first = firstPlace(e); first < end; first += CHUNK) {
      const n = min(CHUNK, end - first);
      for (let r = 0; r < n; r++)
        store<usize>(
          rowList + (<usize>r << 2),
          normed + <usize>load<i32>(members + (<usize>(first + r) << 2)) * bytes,
        );
      multiply(weights, 8, hidden >> 5, n, tile, 256);
      for (let r = 0; r < n; r++) {
        const row = tile + (<usize>r << 8);
        activate(row);
        const record = inner + <usize>(first + r) * out;
        quantiseBlock(row, record + (<usize>b << 6), record + (<usize>width << 1) + (<usize>b << 2));
      }
    }
  }
}

/** 32 gates and 32 ups at `row` → 32 products in their place. */
@inline
function activate(row: usize): void {
  for (const end = row + (<usize>BLOCK << 2); row < end; row += 16) {
    const gate = v128.load(row);
    const denominator = f32x4.add(f32x4.splat(1), exp4(f32x4.neg(gate)));
    v128.store(row, f32x4.mul(f32x4.div(gate, denominator), v128.load(row, 128)));
  }
}

/** down · inner into `expertOut`, rows in their grouped places. */
export function down(layer: i32): void {
  nextStage();
  const panels = hidden >> 3;
  const perExpert = (panels + DOWN_PANELS - 1) / DOWN_PANELS;
  const panel = panelBytes(width);
  const base = layerBase + <usize>layer * layerStride + downOffset;
  const bytes = recordBytes(width);
  const stride = <usize>hidden << 2;
  const tasks = activeCount() * perExpert;
  for (let task = claim(); task < tasks; task = claim()) {
    const e = load<i32>(active + (<usize>(task / perExpert) << 2));
    const p = (task % perExpert) * DOWN_PANELS;
    const weights = base + <usize>(e * panels + p) * panel;
    const end = endPlace(e);
    for (let first = firstPlace(e); first < end; first += CHUNK) {
      const n = min(CHUNK, end - first);
      listRows(inner + <usize>first * bytes, bytes, n);
      const out = expertOut + <usize>first * stride + (<usize>p << 5);
      multiply(weights, min(DOWN_PANELS, panels - p), width >> 5, n, out, stride);
    }
  }
}
