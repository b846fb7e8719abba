/**
 * The forward pass of Qwen3-MoE over a ragged batch: RMSNorm → q, k, v → per-head RMSNorm and RoPE on q and k → grouped
 * attention over pages → residual → RMSNorm → mixture of experts → residual; a last RMSNorm, and the head.
 * Products run on TensorFlow.js, the rest on typed arrays (see `product.ts`).
 */
import { allocatePages, attend, type LayerPages, storeRows } from './attention.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { CheckpointConfig } from './config.ts';
import { type ExpertWeights, type Mixture, mix } from './experts.ts';
import { multiply, uploadWeight, type Weight } from './product.ts';
import { type Batch, ModelError, PAGE_TOKENS } from './types.ts';

interface Layer {
  inputNorm: Float32Array;
  /** q, k and v side by side, [hidden, (heads + 2 × kvHeads) × headDim]. */
  qkv: Weight;
  queryNorm: Float32Array;
  keyNorm: Float32Array;
  output: Weight;
  mixtureNorm: Float32Array;
  mixture: Mixture;
  cache: LayerPages;
}

/** Rows an embedding computes at a time, so that a long text's attention matrix stays small. */
const EMBED_ROWS = 256;
const WARM_UP_ROWS = 64;

export class Network {
  readonly #config: CheckpointConfig;
  readonly #layers: Layer[];
  readonly #finalNorm: Float32Array;
  readonly #head: Weight;
  /** [vocabulary, hidden]. */
  readonly #embedding: Float32Array;
  /** Pages after the host's own, in which `embed` computes. */
  readonly #scratch: Int32Array;

  constructor(checkpoint: Checkpoint, pages: number) {
    const c = checkpoint.config;
    this.#config = c;
    this.#scratch = Int32Array.from({ length: Math.ceil(c.context / PAGE_TOKENS) }, (_, i) => pages + i);
    const embedding = checkpoint.float('model.embed_tokens.weight');
    this.#embedding = embedding.values;
    this.#head = uploadWeight([c.tied ? embedding : checkpoint.float('lm_head.weight')]);
    this.#finalNorm = checkpoint.float('model.norm.weight').values;
    this.#layers = Array.from({ length: c.layers }, (_, i) => {
      const tensor = (name: string) => checkpoint.float(`model.layers.${i}.${name}.weight`);
      return {
        inputNorm: tensor('input_layernorm').values,
        qkv: uploadWeight(['q', 'k', 'v'].map((part) => tensor(`self_attn.${part}_proj`))),
        queryNorm: tensor('self_attn.q_norm').values,
        keyNorm: tensor('self_attn.k_norm').values,
        output: uploadWeight([tensor('self_attn.o_proj')]),
        mixtureNorm: tensor('post_attention_layernorm').values,
        mixture: {
          router: tensor('mlp.gate').values,
          experts: Array.from({ length: c.experts }, (_, e): ExpertWeights => {
            const part = (name: string) => tensor(`mlp.experts.${e}.${name}_proj`);
            return { gateUp: uploadWeight([part('gate'), part('up')]), down: uploadWeight([part('down')]) };
          }),
          expertsPerToken: c.expertsPerToken,
          hidden: c.hidden,
          width: c.expertWidth,
        },
        cache: allocatePages(pages + this.#scratch.length, c),
      };
    });
  }

  /** Logits of the last row of every sequence that wants them, [wanted, vocabulary]. */
  async step(batch: Batch): Promise<Float32Array> {
    const { hidden } = this.#config;
    const x = await this.#forward(batch);
    const wanted = batch.sequences.filter((sequence) => sequence.logits);
    if (wanted.length === 0) return new Float32Array();
    const last = new Float32Array(wanted.length * hidden);
    wanted.forEach(({ start, count }, i) => {
      last.set(x.subarray((start + count - 1) * hidden, (start + count) * hidden), i * hidden);
    });
    return multiply(rmsNorm(last, this.#finalNorm, this.#config.rmsEps), this.#head);
  }

  /** Mean over the tokens of the final-norm hidden states, [hidden]. */
  async embed(tokens: Int32Array): Promise<Float32Array> {
    const { hidden, context, rmsEps } = this.#config;
    if (tokens.length > context)
      throw new ModelError('CONTEXT_TOO_LONG', `${tokens.length} tokens to embed, the context holds ${context}`);
    const mean = new Float32Array(hidden);
    for (let past = 0; past < tokens.length; past += EMBED_ROWS) {
      const rows = tokens.subarray(past, past + EMBED_ROWS);
      const sequence = { start: 0, count: rows.length, past, pages: this.#scratch, logits: false };
      const x = rmsNorm(await this.#forward({ tokens: rows, sequences: [sequence] }), this.#finalNorm, rmsEps);
      for (let i = 0; i < x.length; i++) mean[i % hidden]! += x[i]! / tokens.length;
    }
    return mean;
  }

  /**
   * One pass over enough tokens to reach nearly every expert: backends prepare a weight when they first multiply by it,
   * and that belongs to loading, not to the first reply.
   */
  async warmUp(): Promise<void> {
    const stride = Math.max(1, Math.floor(this.#config.vocabulary / WARM_UP_ROWS));
    const count = Math.min(WARM_UP_ROWS, this.#config.context, this.#config.vocabulary);
    const tokens = Int32Array.from({ length: count }, (_, i) => i * stride);
    await this.step({ tokens, sequences: [{ start: 0, count, past: 0, pages: this.#scratch, logits: true }] });
  }

  /** Frees the weights on the backend. */
  dispose(): void {
    const weights = this.#layers.flatMap((layer) => [
      layer.qkv,
      layer.output,
      ...layer.mixture.experts.flatMap(({ gateUp, down }) => [gateUp, down]),
    ]);
    for (const weight of [this.#head, ...weights]) weight.dispose();
  }

  /** Hidden states before the last norm, [rows, hidden]. */
  async #forward({ tokens, sequences }: Batch): Promise<Float32Array> {
    const c = this.#config;
    const x = this.#lookUp(tokens);
    const turns = rotations(sequences, tokens.length, c);
    for (const layer of this.#layers) {
      const qkv = await multiply(rmsNorm(x, layer.inputNorm, c.rmsEps), layer.qkv);
      normAndTurn(qkv, tokens.length, layer.queryNorm, layer.keyNorm, turns, c);
      const mixed = new Float32Array(tokens.length * c.heads * c.headDim);
      for (const sequence of sequences) {
        storeRows(qkv, sequence, layer.cache, c);
        await attend(qkv, sequence, layer.cache, c, mixed);
      }
      add(x, await multiply(mixed, layer.output));
      add(x, await mix(rmsNorm(x, layer.mixtureNorm, c.rmsEps), layer.mixture));
    }
    return x;
  }

  #lookUp(tokens: Int32Array): Float32Array {
    const { hidden, vocabulary } = this.#config;
    const x = new Float32Array(tokens.length * hidden);
    tokens.forEach((token, row) => {
      if (token < 0 || token >= vocabulary)
        throw new ModelError('TOKEN_OUT_OF_RANGE', `token ${token} in a vocabulary of ${vocabulary}`);
      x.set(this.#embedding.subarray(token * hidden, (token + 1) * hidden), row * hidden);
    });
    return x;
  }
}

function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
}

/** x / √(mean x² + eps) · weight, row by row. */
function rmsNorm(x: Float32Array, weight: Float32Array, eps: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let row = 0; row < x.length; row += weight.length) normInto(out, x, row, weight, eps);
  return out;
}

function normInto(out: Float32Array, x: Float32Array, at: number, weight: Float32Array, eps: number): void {
  let sum = 0;
  for (let i = 0; i < weight.length; i++) sum += x[at + i]! * x[at + i]!;
  const scale = 1 / Math.sqrt(sum / weight.length + eps);
  for (let i = 0; i < weight.length; i++) out[at + i] = x[at + i]! * scale * weight[i]!;
}

/** cos and sin of every row's RoPE angles, interleaved, [rows, headDim / 2, 2]. */
function rotations(sequences: Batch['sequences'], rows: number, c: CheckpointConfig): Float32Array {
  const turns = new Float32Array(rows * c.headDim);
  for (const { start, count, past } of sequences) {
    for (let row = 0; row < count; row++) {
      for (let i = 0; i < c.headDim; i += 2) {
        const angle = (past + row) * c.ropeTheta ** (-i / c.headDim);
        turns[(start + row) * c.headDim + i] = Math.cos(angle);
        turns[(start + row) * c.headDim + i + 1] = Math.sin(angle);
      }
    }
  }
  return turns;
}

/** RMSNorm of each query and key head, then RoPE in Hugging Face's halves: element i turns with i + headDim / 2. In place. */
function normAndTurn(
  qkv: Float32Array,
  rows: number,
  queryNorm: Float32Array,
  keyNorm: Float32Array,
  turns: Float32Array,
  { heads, kvHeads, headDim, rmsEps }: CheckpointConfig,
): void {
  const half = headDim / 2;
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads + kvHeads; head++) {
      const at = (row * (heads + 2 * kvHeads) + head) * headDim;
      normInto(qkv, qkv, at, head < heads ? queryNorm : keyNorm, rmsEps);
      for (let i = 0; i < half; i++) {
        const cos = turns[row * headDim + 2 * i]!;
        const sin = turns[row * headDim + 2 * i + 1]!;
        const low = qkv[at + i]!;
        const high = qkv[at + half + i]!;
        qkv[at + i] = low * cos - high * sin;
        qkv[at + half + i] = high * cos + low * sin;
      }
    }
  }
}
