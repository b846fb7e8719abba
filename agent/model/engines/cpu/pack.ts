/**
 * Brings a checkpoint's weights into the kernels' order, once, at load. A panel interleaves eight rows so that a SIMD
 * register holds four of them side by side: per block of 32 columns eight fp16 scales, then for each pair of columns the
 * two int8 of every row. Matrices stored in floating point are rounded to int8 blocks on the way.
 */
import type { Checkpoint, QuantisedTensor } from '../../checkpoint.ts';
import { BLOCK, type Layout, PANEL_BLOCK_BYTES, PANEL_ROWS, panelsBytes } from './layout.ts';
import { quantise } from './quantise.ts';

/** 16-bit words of a panel's block, and where its int8 pairs begin. */
const BLOCK_WORDS = PANEL_BLOCK_BYTES / 2;
const PAIRS = BLOCK / 2;

/** Packs `count` rows of `matrix` from row `first` as panels at byte `at`; returns where they end. */
export function packRows(memory: ArrayBufferLike, matrix: QuantisedTensor, first: number, count: number, at: number) {
  const { cols, scales } = matrix;
  const blocks = cols / BLOCK;
  const out = new Uint16Array(memory, at, panelsBytes(count, cols) / 2);
  // Two int8 travel as one 16-bit word; a file may store them at an odd address.
  const values = matrix.values.byteOffset % 2 === 0 ? matrix.values : matrix.values.slice();
  const pairs = new Uint16Array(values.buffer, values.byteOffset, values.length / 2);
  let to = 0;
  for (let panel = first; panel < first + count; panel += PANEL_ROWS)
    for (let block = 0; block < blocks; block++, to += BLOCK_WORDS)
      for (let lane = 0; lane < PANEL_ROWS; lane++) {
        const from = (panel + lane) * blocks + block;
        out[to + lane] = scales[from]!;
        for (let pair = 0; pair < PAIRS; pair++)
          out[to + PANEL_ROWS + pair * PANEL_ROWS + lane] = pairs[from * PAIRS + pair]!;
      }
  return at + out.byteLength;
}

/** Every weight of the checkpoint, at the places of `layout`. */
export function packCheckpoint(memory: ArrayBufferLike, checkpoint: Checkpoint, layout: Layout): void {
  const c = checkpoint.config;
  const at = layout.globals[0] as Record<string, number>;
  const matrix = (name: string): QuantisedTensor => {
    if (checkpoint.isQuantised(name)) return checkpoint.quantised(name);
    const { shape, values } = checkpoint.float(name);
    return quantise(values, shape[0]!, shape[1]!);
  };
  const whole = (name: string, to: number) => {
    const m = matrix(name);
    return packRows(memory, m, 0, m.rows, to);
  };
  const floats = (name: string, to: number) => {
    const { values } = checkpoint.float(name);
    new Float32Array(memory, to, values.length).set(values);
  };

  whole('model.embed_tokens.weight', at.embedding!);
  if (!c.tied) whole('lm_head.weight', at.head!);
  floats('model.norm.weight', at.finalNorm!);
  for (let layer = 0; layer < c.layers; layer++) {
    const base = at.layerBase! + layer * at.layerStride!;
    const p = `model.layers.${layer}.`;
    floats(`${p}input_layernorm.weight`, base + at.inputNormOffset!);
    floats(`${p}post_attention_layernorm.weight`, base + at.postNormOffset!);
    floats(`${p}self_attn.q_norm.weight`, base + at.qNormOffset!);
    floats(`${p}self_attn.k_norm.weight`, base + at.kNormOffset!);
    floats(`${p}mlp.gate.weight`, base + at.routerOffset!);
    let to = base + at.qkvOffset!;
    for (const kind of ['q', 'k', 'v']) to = whole(`${p}self_attn.${kind}_proj.weight`, to);
    whole(`${p}self_attn.o_proj.weight`, base + at.outputOffset!);
    let gateUp = base + at.gateUpOffset!;
    let down = base + at.downOffset!;
    for (let e = 0; e < c.experts; e++) {
      // A block of 32 gates and its 32 ups lie side by side: one task computes, multiplies and quantises them.
      const gate = matrix(`${p}mlp.experts.${e}.gate_proj.weight`);
      const up = matrix(`${p}mlp.experts.${e}.up_proj.weight`);
      for (let row = 0; row < c.expertWidth; row += BLOCK) {
        gateUp = packRows(memory, gate, row, BLOCK, gateUp);
        gateUp = packRows(memory, up, row, BLOCK, gateUp);
      }
      down = whole(`${p}mlp.experts.${e}.down_proj.weight`, down);
    }
  }
}

/** Rotary tables, with the same fp32 roundings as the network was trained with: angle = fp32(position · fp32(θ^(-2i/d))). */
export function writeRotary(memory: ArrayBufferLike, checkpoint: Checkpoint, layout: Layout): void {
  const { context, headDim, ropeTheta } = checkpoint.config;
  const half = headDim / 2;
  const at = layout.globals[0] as Record<string, number>;
  const cosine = new Float32Array(memory, at.cosine!, context * half);
  const sine = new Float32Array(memory, at.sine!, context * half);
  const frequencies = Float32Array.from({ length: half }, (_, i) => 1 / Math.fround(ropeTheta ** ((2 * i) / headDim)));
  for (let position = 0; position < context; position++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * frequencies[i]!);
      cosine[position * half + i] = Math.cos(angle);
      sine[position * half + i] = Math.sin(angle);
    }
}
