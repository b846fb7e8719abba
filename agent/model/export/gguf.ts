/**
 * A checkpoint as one GGUF file for llama.cpp (architecture `qwen3moe`): int8 blocks copied bit for bit as Q8_0, norms
 * and router in fp32, tokenizer and chat template inside. Matrices a checkpoint stores in floating point keep every bit
 * too (BF16 when that holds them, else F32); quantising those further is llama.cpp's own tool's work.
 */
import type { Checkpoint } from '../checkpoint.ts';
import { ALIGNMENT, layOut, type TensorInfo, type TensorType, type Value } from './gguf-format.ts';
import { type Card, readCard } from './model-card.ts';
import { bf16, f32, fitsBf16, q8_0 } from './number-formats.ts';
import { type ExportOptions, Writer, writeFileWhole } from './target.ts';
import { readVocabulary, type Vocabulary } from './vocabulary.ts';

const ARCHITECTURE = 'qwen3moe';
/** The version of the block formats, not of the file. */
const QUANTISATION_VERSION = 2;
/** `general.file_type`: what most matrices are. */
const FILE_TYPES: Record<TensorType, number> = { F32: 0, Q8_0: 7, BF16: 32 };

/** One tensor of the file, made of one or more of the checkpoint's, one after another. */
interface Part extends TensorInfo {
  from: string[];
}

export interface GgufOptions extends ExportOptions {
  /**
   * `stored` (default) keeps the blocks as they are. `float32` writes the same numbers dequantised: llama.cpp rounds
   * activations to 8 bits before it meets Q8_0 weights, and does not with fp32 ones, so only there are its logits ours.
   */
  dtype?: 'stored' | 'float32';
}

export async function exportGguf(checkpoint: Checkpoint, target: string, options: GgufOptions = {}): Promise<void> {
  const vocabulary = await readVocabulary(checkpoint.directory, checkpoint.config.vocabulary);
  const parts = partsOf(checkpoint, options.dtype ?? 'stored');
  const layout = layOut(metadataOf(checkpoint, vocabulary, await readCard(checkpoint.directory), parts), parts);
  await writeFileWhole(target, options, async (file) => {
    const writer = new Writer(file, layout.bytes, options);
    await writer.write(layout.header);
    for (const [i, part] of parts.entries()) {
      for (const name of part.from)
        for (const piece of piecesOf(checkpoint, name, part.type)) await writer.write(piece);
      await writer.write(PADDING.subarray(0, layout.tensors[i]!.padding));
    }
  });
}

const PADDING = new Uint8Array(ALIGNMENT);

function piecesOf(checkpoint: Checkpoint, name: string, type: TensorType): Iterable<Uint8Array> {
  if (type === 'Q8_0') return q8_0(checkpoint.quantised(name));
  return type === 'BF16' ? bf16(checkpoint.float(name).values) : f32(checkpoint.float(name).values);
}

/** The tensors under llama.cpp's names. A layer's experts lie behind one another in one 3-D tensor. */
function partsOf(checkpoint: Checkpoint, dtype: 'stored' | 'float32'): Part[] {
  const { config: c } = checkpoint;
  const parts: Part[] = [];
  const matrix = (name: string, shape: number[], ...from: string[]) =>
    parts.push({ name: `${name}.weight`, shape, type: dtype === 'float32' ? 'F32' : typeOf(checkpoint, from), from });
  const exact = (name: string, shape: number[], from: string) =>
    parts.push({ name: `${name}.weight`, shape, type: 'F32', from: [from] });

  matrix('token_embd', [c.vocabulary, c.hidden], 'model.embed_tokens.weight');
  exact('output_norm', [c.hidden], 'model.norm.weight');
  if (!c.tied) matrix('output', [c.vocabulary, c.hidden], 'lm_head.weight');
  for (let layer = 0; layer < c.layers; layer++) {
    const to = `blk.${layer}.`;
    const from = `model.layers.${layer}.`;
    const experts = (projection: string) =>
      Array.from({ length: c.experts }, (_, e) => `${from}mlp.experts.${e}.${projection}_proj.weight`);
    exact(`${to}attn_norm`, [c.hidden], `${from}input_layernorm.weight`);
    matrix(`${to}attn_q`, [c.heads * c.headDim, c.hidden], `${from}self_attn.q_proj.weight`);
    matrix(`${to}attn_k`, [c.kvHeads * c.headDim, c.hidden], `${from}self_attn.k_proj.weight`);
    matrix(`${to}attn_v`, [c.kvHeads * c.headDim, c.hidden], `${from}self_attn.v_proj.weight`);
    matrix(`${to}attn_output`, [c.hidden, c.heads * c.headDim], `${from}self_attn.o_proj.weight`);
    exact(`${to}attn_q_norm`, [c.headDim], `${from}self_attn.q_norm.weight`);
    exact(`${to}attn_k_norm`, [c.headDim], `${from}self_attn.k_norm.weight`);
    exact(`${to}ffn_norm`, [c.hidden], `${from}post_attention_layernorm.weight`);
    exact(`${to}ffn_gate_inp`, [c.experts, c.hidden], `${from}mlp.gate.weight`);
    matrix(`${to}ffn_gate_exps`, [c.experts, c.expertWidth, c.hidden], ...experts('gate'));
    matrix(`${to}ffn_down_exps`, [c.experts, c.hidden, c.expertWidth], ...experts('down'));
    matrix(`${to}ffn_up_exps`, [c.experts, c.expertWidth, c.hidden], ...experts('up'));
  }
  return parts;
}

/** The smallest type that keeps every bit of these matrices. */
function typeOf(checkpoint: Checkpoint, names: string[]): TensorType {
  if (names.every((name) => checkpoint.isQuantised(name))) return 'Q8_0';
  return names.every((name) => fitsBf16(checkpoint.float(name).values)) ? 'BF16' : 'F32';
}

function metadataOf(checkpoint: Checkpoint, vocabulary: Vocabulary, card: Card, parts: Part[]): Map<string, Value> {
  const { config: c } = checkpoint;
  const u32 = (value: number): Value => ({ type: 'u32', value });
  const text = (value: string): Value => ({ type: 'string', value });
  const metadata = new Map<string, Value>([
    ['general.architecture', text(ARCHITECTURE)],
    ['general.type', text('model')],
    ['general.name', text(c.name)],
    ['general.version', text(c.version)],
    ['general.file_type', u32(FILE_TYPES[parts[0]!.type])],
    ['general.quantization_version', u32(QUANTISATION_VERSION)],
    // Which weights these are: the same number /health and every reply name.
    ['xiaohe.checkpoint.sha256', text(checkpoint.sha256)],
    [`${ARCHITECTURE}.block_count`, u32(c.layers)],
    [`${ARCHITECTURE}.context_length`, u32(c.context)],
    [`${ARCHITECTURE}.embedding_length`, u32(c.hidden)],
    // Only dense layers would read this one; every layer here is a mixture of experts.
    [`${ARCHITECTURE}.feed_forward_length`, u32(c.expertWidth * c.expertsPerToken)],
    [`${ARCHITECTURE}.expert_feed_forward_length`, u32(c.expertWidth)],
    [`${ARCHITECTURE}.expert_count`, u32(c.experts)],
    [`${ARCHITECTURE}.expert_used_count`, u32(c.expertsPerToken)],
    [`${ARCHITECTURE}.attention.head_count`, u32(c.heads)],
    [`${ARCHITECTURE}.attention.head_count_kv`, u32(c.kvHeads)],
    [`${ARCHITECTURE}.attention.key_length`, u32(c.headDim)],
    [`${ARCHITECTURE}.attention.value_length`, u32(c.headDim)],
    [`${ARCHITECTURE}.attention.layer_norm_rms_epsilon`, { type: 'f32', value: c.rmsEps }],
    [`${ARCHITECTURE}.rope.dimension_count`, u32(c.headDim)],
    [`${ARCHITECTURE}.rope.freq_base`, { type: 'f32', value: c.ropeTheta }],
    [`${ARCHITECTURE}.vocab_size`, u32(c.vocabulary)],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('qwen2')],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: vocabulary.tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', values: vocabulary.kinds }],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', values: vocabulary.merges }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
    ['tokenizer.ggml.eos_token_id', u32(c.endTokens[0]!)],
  ]);
  if (card.license !== undefined) metadata.set('general.license', text(card.license));
  if (card.languages.length > 0)
    metadata.set('general.languages', { type: 'array', of: 'string', values: card.languages });
  // Without these llama.cpp falls back to GPT-2's ids, which here are ordinary letters.
  const endOfText = vocabulary.special.get('<|endoftext|>') ?? c.endTokens.at(-1)!;
  metadata.set('tokenizer.ggml.bos_token_id', u32(endOfText));
  metadata.set('tokenizer.ggml.padding_token_id', u32(endOfText));
  if (vocabulary.chatTemplate !== undefined) metadata.set('tokenizer.chat_template', text(vocabulary.chatTemplate));
  return metadata;
}
