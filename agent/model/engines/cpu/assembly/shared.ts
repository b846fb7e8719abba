/**
 * Where everything lies in the shared memory, and the sizes of the checkpoint. `layout.ts` on the TypeScript side
 * computes these values once; every instance (one a thread) has its own copy, set by name before its first step.
 *
 * Addresses are bytes. A *record* is one row of activations: n int16 values in blocks of 32, then n / 32 fp32 scales.
 * A *panel* is eight rows of a weight matrix: for each block of 32 columns eight fp16 scales, then 16 × (8 rows × 2
 * columns) int8, so that one SIMD register holds four rows side by side and no sum ever runs across lanes.
 */

/** Which thread this instance is, and of how many. */
export let thread: i32 = 0;
export let threads: i32 = 1;

export let hidden: i32 = 0;
export let layers: i32 = 0;
export let heads: i32 = 0;
export let kvHeads: i32 = 0;
export let headDim: i32 = 0;
export let experts: i32 = 0;
export let topK: i32 = 0;
export let width: i32 = 0;
export let vocabulary: i32 = 0;
export let epsilon: f32 = 0;
/** KV pages of one layer, the caller's and those kept for `embed`. */
export let pageCount: i32 = 0;

/** Weights. Offsets count from the start of a layer. */
export let embedding: usize = 0;
export let head: usize = 0;
export let finalNorm: usize = 0;
export let layerBase: usize = 0;
export let layerStride: usize = 0;
export let qkvOffset: usize = 0;
export let outputOffset: usize = 0;
export let gateUpOffset: usize = 0;
export let downOffset: usize = 0;
export let inputNormOffset: usize = 0;
export let postNormOffset: usize = 0;
export let qNormOffset: usize = 0;
export let kNormOffset: usize = 0;
export let routerOffset: usize = 0;

/** Rotary tables [context, headDim / 2] fp32. */
export let cosine: usize = 0;
export let sine: usize = 0;
/** [layers, pageCount, kvHeads] pages of one head; see attention.ts. */
export let kv: usize = 0;

/** What to do in this step, written by the caller: rows, wanted rows, whether logits are made; then the arrays. */
export let order: usize = 0;
export let tokens: usize = 0;
export let positions: usize = 0;
export let pagesAt: usize = 0;
export let pages: usize = 0;
export let wanted: usize = 0;

/** Working memory. */
export let control: usize = 0;
export let claims: usize = 0;
export let residual: usize = 0;
export let projected: usize = 0;
export let normed: usize = 0;
export let queries: usize = 0;
export let attended: usize = 0;
export let chosen: usize = 0;
export let weights: usize = 0;
export let places: usize = 0;
export let members: usize = 0;
export let starts: usize = 0;
export let active: usize = 0;
export let inner: usize = 0;
export let expertOut: usize = 0;
export let logits: usize = 0;
export let summaries: usize = 0;
/** Private working memory of this thread. */
export let scores: usize = 0;
export let tile: usize = 0;
export let rowList: usize = 0;
export let interleaved: usize = 0;
