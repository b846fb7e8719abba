/** The two packed forms, panels of weights and records of activations (see shared.ts), in bytes. */

/** Columns of one quantised block, as in Q8_0. */
@inline export const BLOCK: i32 = 32;
/** Bytes of one block of a panel: eight fp16 scales, 8 × 32 int8. */
@inline export const PANEL_BLOCK: usize = 272;

/** Bytes of one block of four records side by side: 4 × 32 int16, four scales. */
@inline export const INTERLEAVED_BLOCK: usize = 272;

/** Bytes of a panel of `columns` columns. */
@inline
export function panelBytes(columns: i32): usize {
  return <usize>(columns >> 5) * PANEL_BLOCK;
}

/** Bytes of a record of `n` values. */
@inline
export function recordBytes(n: i32): usize {
  return (<usize>n << 1) + (<usize>n >> 3);
}

/** Rows multiplied at once: their results fit the thread's tile, their records the first-level cache. */
@inline export const CHUNK: i32 = 16;
