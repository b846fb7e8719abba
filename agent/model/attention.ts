/**
 * Grouped-query attention over paged keys and values. Pages are plain memory owned by the host's page table: TensorFlow.js
 * tensors are immutable, and copying a whole cache for every token would cost more than the model.
 */
import { multiplyArrays } from './product.ts';
import { type BatchSequence, PAGE_TOKENS } from './types.ts';

export interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Keys and values of one layer: [pages][kvHeads][PAGE_TOKENS][headDim]. Untouched pages cost no physical memory. */
export interface LayerPages {
  keys: Float32Array;
  values: Float32Array;
}

export function allocatePages(pages: number, { kvHeads, headDim }: Heads): LayerPages {
  const floats = pages * kvHeads * PAGE_TOKENS * headDim;
  return { keys: new Float32Array(floats), values: new Float32Array(floats) };
}

/** Offset of one position's vector of one head. */
function slot(pages: Int32Array, position: number, kvHead: number, { kvHeads, headDim }: Heads): number {
  const page = pages[Math.floor(position / PAGE_TOKENS)]!;
  return ((page * kvHeads + kvHead) * PAGE_TOKENS + (position % PAGE_TOKENS)) * headDim;
}

/** `qkv` is [rows, (heads + 2 × kvHeads) × headDim]; the keys and values of a sequence's rows go to its pages. */
export function storeRows(qkv: Float32Array, sequence: BatchSequence, cache: LayerPages, shape: Heads): void {
  const { heads, kvHeads, headDim } = shape;
  const stride = (heads + 2 * kvHeads) * headDim;
  for (let row = 0; row < sequence.count; row++) {
    for (let head = 0; head < kvHeads; head++) {
      const to = slot(sequence.pages, sequence.past + row, head, shape);
      const key = (sequence.start + row) * stride + (heads + head) * headDim;
      const value = key + kvHeads * headDim;
      cache.keys.set(qkv.subarray(key, key + headDim), to);
      cache.values.set(qkv.subarray(value, value + headDim), to);
    }
  }
}

/** Attention of one sequence's rows over all its positions so far; writes [count, heads × headDim] into `out`. */
export async function attend(
  qkv: Float32Array,
  sequence: BatchSequence,
  cache: LayerPages,
  shape: Heads,
  out: Float32Array,
): Promise<void> {
  // One row reads every key once: a product would first have to copy them all.
  if (sequence.count === 1) attendRow(qkv, sequence, cache, shape, out);
  else await attendRows(qkv, sequence, cache, shape, out);
}

function attendRow(q: Float32Array, sequence: BatchSequence, cache: LayerPages, shape: Heads, out: Float32Array): void {
  const { heads, kvHeads, headDim } = shape;
  const group = heads / kvHeads;
  const length = sequence.past + 1;
  const scale = headDim ** -0.5;
  const scores = new Float32Array(length);
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor(head / group);
    const from = sequence.start * (heads + 2 * kvHeads) * headDim + head * headDim;
    let max = Number.NEGATIVE_INFINITY;
    for (let position = 0; position < length; position++) {
      const key = slot(sequence.pages, position, kvHead, shape);
      let even = 0;
      let odd = 0;
      for (let i = 0; i < headDim; i += 2) {
        even += q[from + i]! * cache.keys[key + i]!;
        odd += q[from + i + 1]! * cache.keys[key + i + 1]!;
      }
      const score = (even + odd) * scale;
      scores[position] = score;
      if (score > max) max = score;
    }
    let sum = 0;
    for (let position = 0; position < length; position++) sum += scores[position] = Math.exp(scores[position]! - max);
    const to = (sequence.start * heads + head) * headDim;
    for (let position = 0; position < length; position++) {
      const value = slot(sequence.pages, position, kvHead, shape);
      const weight = scores[position]! / sum;
      for (let i = 0; i < headDim; i++) out[to + i]! += weight * cache.values[value + i]!;
    }
  }
}

async function attendRows(
  qkv: Float32Array,
  sequence: BatchSequence,
  cache: LayerPages,
  shape: Heads,
  out: Float32Array,
): Promise<void> {
  const { heads, kvHeads, headDim } = shape;
  const { start, count, past } = sequence;
  const group = heads / kvHeads;
  const stride = (heads + 2 * kvHeads) * headDim;
  const length = past + count;
  const columns = group * count;
  const scale = headDim ** -0.5;
  for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
    const keys = gather(cache.keys, sequence.pages, length, kvHead, shape);
    const values = gather(cache.values, sequence.pages, length, kvHead, shape);
    // Queries as the right operand, [headDim, group × count]: so neither product needs its keys transposed.
    const queries = new Float32Array(headDim * columns);
    for (let column = 0; column < columns; column++) {
      const head = kvHead * group + Math.floor(column / count);
      const from = (start + (column % count)) * stride + head * headDim;
      for (let i = 0; i < headDim; i++) queries[i * columns + column] = qkv[from + i]! * scale;
    }
    const scores = await multiplyArrays(keys, queries, headDim); // [length, group × count]
    const weights = causalSoftmax(scores, length, columns, count, past); // [group × count, length]
    const mixed = await multiplyArrays(weights, values, length); // [group × count, headDim]
    for (let column = 0; column < columns; column++) {
      const head = kvHead * group + Math.floor(column / count);
      const to = ((start + (column % count)) * heads + head) * headDim;
      out.set(mixed.subarray(column * headDim, (column + 1) * headDim), to);
    }
  }
}

/** One head's vectors of positions 0…length, [length, headDim]. */
function gather(from: Float32Array, pages: Int32Array, length: number, kvHead: number, shape: Heads): Float32Array {
  const out = new Float32Array(length * shape.headDim);
  for (let position = 0; position < length; position += PAGE_TOKENS) {
    const at = slot(pages, position, kvHead, shape);
    const floats = Math.min(PAGE_TOKENS, length - position) * shape.headDim;
    out.set(from.subarray(at, at + floats), position * shape.headDim);
  }
  return out;
}

/** scores [length, columns] → weights [columns, length]; column c belongs to row c mod count, which sees past + row + 1 keys. */
function causalSoftmax(
  scores: Float32Array,
  length: number,
  columns: number,
  count: number,
  past: number,
): Float32Array {
  const out = new Float32Array(columns * length);
  for (let column = 0; column < columns; column++) {
    const visible = past + (column % count) + 1;
    const to = column * length;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < visible; i++) max = Math.max(max, scores[i * columns + column]!);
    let sum = 0;
    for (let i = 0; i < visible; i++) sum += out[to + i] = Math.exp(scores[i * columns + column]! - max);
    for (let i = 0; i < visible; i++) out[to + i]! /= sum;
  }
  return out;
}
