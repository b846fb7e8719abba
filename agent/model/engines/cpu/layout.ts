/**
 * Where everything lies in the engine's shared memory: sizes and addresses under the names that `assembly/shared.ts`
 * gives them. Pure; the memory itself is made in `index.ts`.
 */
import type { CheckpointConfig } from '../../config.ts';
import { ModelError, PAGE_TOKENS } from '../../types.ts';

/** Columns that share one scale (Q8_0). */
export const BLOCK = 32;
/** Rows of a panel, and bytes of one of its blocks: eight fp16 scales, 8 × 32 int8. */
export const PANEL_ROWS = 8;
export const PANEL_BLOCK_BYTES = 2 * PANEL_ROWS + PANEL_ROWS * BLOCK;
/** Rows computed at once; a longer batch runs in several passes. Weights are read once a pass, so 256 rows hide that. */
export const PASS_ROWS = 256;
/** Rows whose logits are made in one pass: a row takes 4 bytes a vocabulary entry. */
export const PASS_LOGITS = 64;
/** Tokens of the longest text `embed` takes, where the context allows more: its KV pages are held for good. */
const EMBED_TOKENS = 2_048;
/** Rows multiplied at once by a thread; the kernels' chunks (CHUNK in format.ts) are no longer than this. */
const CHUNK_ROWS = 16;
/** Everything starts on its own cache line. */
const LINE = 64;
/** The first page of memory stays empty: a stray null address then breaks nothing. */
const START = 65_536;
/** What wasm32 can address. */
const ADDRESS_LIMIT = 2 ** 32;

export interface Layout {
  /** Bytes of the whole memory. */
  bytes: number;
  /** KV pages kept behind the caller's for `embed`. */
  ownPages: number;
  /** Values for the instances' globals of the same name; one set a thread, differing only in private memory. */
  globals: Record<string, number>[];
  /** Bytes of the KV pages, from `kv` on. */
  kvBytes: number;
}

/** Bytes of a weight matrix in panels. */
export function panelsBytes(rows: number, columns: number): number {
  return (rows / PANEL_ROWS) * (columns / BLOCK) * PANEL_BLOCK_BYTES;
}

/** Bytes of one row of quantised activations: int16 values, then fp32 scales. */
export function recordBytes(n: number): number {
  return n * 2 + (n / BLOCK) * 4;
}

function requireSizes(c: CheckpointConfig): void {
  const sizes = { hidden: c.hidden, headDim: c.headDim, expertWidth: c.expertWidth };
  for (const [name, size] of Object.entries(sizes))
    if (size % BLOCK !== 0)
      throw new ModelError('CHECKPOINT_UNSUPPORTED', `cpu engine: ${name} ${size} is not a multiple of ${BLOCK}`);
  if (c.vocabulary % PANEL_ROWS !== 0)
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `cpu engine: vocabulary ${c.vocabulary} is not a multiple of 8`);
}

export function planLayout(c: CheckpointConfig, pages: number, threads: number): Layout {
  requireSizes(c);
  const ownPages = Math.ceil(Math.min(c.context, EMBED_TOKENS) / PAGE_TOKENS);
  const longest = Math.ceil(c.context / PAGE_TOKENS);
  const attentionColumns = c.heads * c.headDim;
  const choices = PASS_ROWS * c.expertsPerToken;

  // Offsets inside a layer.
  let inLayer = 0;
  const layerPart = (bytes: number) => {
    const at = inLayer;
    inLayer += Math.ceil(bytes / LINE) * LINE;
    return at;
  };
  const offsets = {
    inputNormOffset: layerPart(4 * c.hidden),
    qkvOffset: layerPart(panelsBytes((c.heads + 2 * c.kvHeads) * c.headDim, c.hidden)),
    qNormOffset: layerPart(4 * c.headDim),
    kNormOffset: layerPart(4 * c.headDim),
    outputOffset: layerPart(panelsBytes(c.hidden, attentionColumns)),
    postNormOffset: layerPart(4 * c.hidden),
    routerOffset: layerPart(4 * c.experts * c.hidden),
    gateUpOffset: layerPart(c.experts * panelsBytes(2 * c.expertWidth, c.hidden)),
    downOffset: layerPart(c.experts * panelsBytes(c.hidden, c.expertWidth)),
    layerStride: 0,
  };
  offsets.layerStride = inLayer;

  let end = START;
  const part = (bytes: number) => {
    const at = end;
    end += Math.ceil(bytes / LINE) * LINE;
    return at;
  };
  const embedding = part(panelsBytes(c.vocabulary, c.hidden));
  const pageBytes = 2 * (2 * PAGE_TOKENS * c.headDim + 4 * PAGE_TOKENS);
  const kvBytes = c.layers * (pages + ownPages) * c.kvHeads * pageBytes;
  const shared = {
    threads,
    hidden: c.hidden,
    layers: c.layers,
    heads: c.heads,
    kvHeads: c.kvHeads,
    headDim: c.headDim,
    experts: c.experts,
    topK: c.expertsPerToken,
    width: c.expertWidth,
    vocabulary: c.vocabulary,
    epsilon: c.rmsEps,
    pageCount: pages + ownPages,
    embedding,
    head: c.tied ? embedding : part(panelsBytes(c.vocabulary, c.hidden)),
    finalNorm: part(4 * c.hidden),
    ...offsets,
    layerBase: part(c.layers * inLayer),
    cosine: part(2 * c.context * c.headDim),
    sine: part(2 * c.context * c.headDim),
    kv: part(kvBytes),
    order: part(LINE),
    tokens: part(4 * PASS_ROWS),
    positions: part(4 * PASS_ROWS),
    pagesAt: part(4 * PASS_ROWS),
    // At worst every row is a sequence of its own, as long as the context.
    pages: part(4 * PASS_ROWS * longest),
    wanted: part(4 * PASS_ROWS),
    control: part(5 * LINE),
    claims: part(4 * stageCount(c)),
    residual: part(4 * PASS_ROWS * c.hidden),
    projected: part(4 * PASS_ROWS * c.hidden),
    normed: part(PASS_ROWS * recordBytes(c.hidden)),
    queries: part(PASS_ROWS * c.heads * (2 * c.headDim + 16)),
    attended: part(PASS_ROWS * recordBytes(attentionColumns)),
    chosen: part(4 * choices),
    weights: part(4 * choices),
    places: part(4 * choices),
    members: part(4 * choices),
    starts: part(4 * (c.experts + 1)),
    active: part(4 * (c.experts + 1)),
    inner: part(choices * recordBytes(c.expertWidth)),
    expertOut: part(4 * choices * c.hidden),
    logits: part(4 * PASS_LOGITS * c.vocabulary),
    summaries: part(8 * PASS_LOGITS),
  };
  // A thread's tile holds a chunk of results (a head wide, or 32 gates and 32 ups), or one fp32 row and its router logits.
  const tileBytes = 4 * Math.max(CHUNK_ROWS * Math.max(c.headDim, 2 * BLOCK), c.hidden + c.experts);
  const globals = Array.from({ length: threads }, (_, thread) => ({
    ...shared,
    thread,
    scores: part(2 * 4 * PAGE_TOKENS * longest),
    tile: part(tileBytes),
    rowList: part(4 * CHUNK_ROWS),
    interleaved: part(CHUNK_ROWS * recordBytes(Math.max(c.hidden, attentionColumns, c.expertWidth))),
  }));
  if (end > ADDRESS_LIMIT)
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `cpu engine: needs ${end} bytes, WebAssembly addresses 4 GiB`);
  return { bytes: end, ownPages, globals, kvBytes };
}

/** Stages with claimed tasks in one step: seven a layer, one before the first, one for the logits and one for their sums. */
export function stageCount(c: { layers: number }): number {
  return 7 * c.layers + 3;
}
