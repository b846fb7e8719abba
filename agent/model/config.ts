/**
 * `config.json` of a Hugging Face Qwen3-MoE directory, parsed once and renamed to the words the rest of this folder uses.
 * Whatever the network does not compute (other gates, sliding windows, scaled RoPE, dense layers) is refused here, so
 * that a foreign checkpoint fails with a reason instead of talking nonsense.
 */
import { z } from 'zod';
import { ModelError } from './types.ts';

export interface CheckpointConfig {
  name: string;
  version: string;
  hidden: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  experts: number;
  expertsPerToken: number;
  /** Inner width of one expert. */
  expertWidth: number;
  vocabulary: number;
  /** Most positions one sequence may have. */
  context: number;
  ropeTheta: number;
  rmsEps: number;
  /** True when the output matrix is the embedding. */
  tied: boolean;
  /** Tokens that end a reply. */
  endTokens: number[];
}

const size = z.int().positive();
/** Layers and experts are listed one by one; no network has more, and a broken number must not fill the memory. */
const listed = size.max(10_000);
/** Of all layers together. */
const MOST_EXPERTS = 1_000_000;
const tokens = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish();
const off = (what: string) => z.literal([false, null], { error: `${what} is not supported` }).optional();

const Config = z.object({
  architectures: z
    .array(z.string())
    .refine((names) => names.includes('Qwen3MoeForCausalLM'), 'only Qwen3MoeForCausalLM is supported'),
  model_type: z.literal('qwen3_moe', { error: 'only model_type qwen3_moe is supported' }),
  hidden_size: size,
  num_hidden_layers: listed,
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size.multipleOf(2, { error: 'RoPE turns pairs, so head_dim must be even' }),
  // transformers 5 writes the second name only, vLLM and llama.cpp read the first.
  num_experts: listed.optional(),
  num_local_experts: listed.optional(),
  num_experts_per_tok: size,
  moe_intermediate_size: size,
  vocab_size: size,
  max_position_embeddings: size,
  rope_theta: z.number().positive().optional(),
  rope_parameters: z
    .object({
      rope_type: z.literal('default', { error: 'scaled RoPE is not supported' }).optional(),
      rope_theta: z.number().positive().optional(),
    })
    .nullish(),
  rope_scaling: z.null({ error: 'scaled RoPE is not supported' }).optional(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal('silu', { error: 'only silu is supported' }),
  // Hugging Face's own default is false: a directory that leaves it out means another network.
  norm_topk_prob: z.literal(true, { error: 'only renormalised top-k routing (norm_topk_prob) is supported' }),
  decoder_sparse_step: z.literal(1, { error: 'every layer must be a mixture of experts' }).optional(),
  mlp_only_layers: z.array(z.int()).max(0, 'every layer must be a mixture of experts').nullish(),
  attention_bias: off('attention bias'),
  use_sliding_window: off('sliding-window attention'),
  tie_word_embeddings: z.boolean().default(false),
  eos_token_id: tokens,
  xiaohe: z.object({ name: z.string(), version: z.string() }).optional(),
});
const GenerationConfig = z.object({ eos_token_id: tokens });

function list(ids: z.infer<typeof tokens>): number[] {
  return ids === null || ids === undefined ? [] : Array.isArray(ids) ? ids : [ids];
}

/** `config` and `generation` are parsed JSON; `directory` names them in errors and gives an unnamed checkpoint its name. */
export function parseConfig(config: unknown, generation: unknown, directory: string): CheckpointConfig {
  const parsed = Config.safeParse(config);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${directory}/config.json: ${issues}`);
  }
  const c = parsed.data;
  const refuse = (reason: string): never => {
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${directory}/config.json: ${reason}`);
  };
  if (c.num_attention_heads % c.num_key_value_heads !== 0)
    refuse(`${c.num_attention_heads} heads cannot share ${c.num_key_value_heads} key-value heads evenly`);
  const experts = c.num_experts ?? c.num_local_experts ?? refuse('num_experts is missing');
  if (c.num_hidden_layers * experts > MOST_EXPERTS)
    refuse(`${c.num_hidden_layers} layers of ${experts} experts are more than any network has`);
  if (c.num_experts_per_tok > experts)
    refuse(`num_experts_per_tok ${c.num_experts_per_tok} exceeds num_experts ${experts}`);
  if (c.num_local_experts !== undefined && c.num_local_experts !== experts)
    refuse(`num_local_experts ${c.num_local_experts} contradicts num_experts ${experts}`);
  const ropeTheta = c.rope_parameters?.rope_theta ?? c.rope_theta ?? refuse('rope_theta is missing');
  if (c.rope_theta !== undefined && c.rope_theta !== ropeTheta)
    refuse(`rope_theta ${c.rope_theta} contradicts rope_parameters.rope_theta ${ropeTheta}`);
  const ends = new Set([...list(c.eos_token_id), ...list(GenerationConfig.safeParse(generation).data?.eos_token_id)]);
  const endTokens = [...ends].filter((token) => token < c.vocab_size);
  if (endTokens.length === 0) refuse('no end token inside the vocabulary (eos_token_id)');
  return {
    name: c.xiaohe?.name ?? directory.split('/').filter(Boolean).at(-1) ?? 'unnamed',
    version: c.xiaohe?.version ?? '0',
    hidden: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    kvHeads: c.num_key_value_heads,
    headDim: c.head_dim,
    experts,
    expertsPerToken: c.num_experts_per_tok,
    expertWidth: c.moe_intermediate_size,
    vocabulary: c.vocab_size,
    context: c.max_position_embeddings,
    ropeTheta,
    rmsEps: c.rms_norm_eps,
    tied: c.tie_word_embeddings,
    endTokens,
  };
}

/** Every tensor the network needs, with its shape, under Hugging Face's names. */
export function tensorShapes(c: CheckpointConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>([
    ['model.embed_tokens.weight', [c.vocabulary, c.hidden]],
    ['model.norm.weight', [c.hidden]],
  ]);
  if (!c.tied) shapes.set('lm_head.weight', [c.vocabulary, c.hidden]);
  for (let layer = 0; layer < c.layers; layer++) {
    const p = `model.layers.${layer}.`;
    shapes.set(`${p}input_layernorm.weight`, [c.hidden]);
    shapes.set(`${p}self_attn.q_proj.weight`, [c.heads * c.headDim, c.hidden]);
    shapes.set(`${p}self_attn.k_proj.weight`, [c.kvHeads * c.headDim, c.hidden]);
    shapes.set(`${p}self_attn.v_proj.weight`, [c.kvHeads * c.headDim, c.hidden]);
    shapes.set(`${p}self_attn.o_proj.weight`, [c.hidden, c.heads * c.headDim]);
    shapes.set(`${p}self_attn.q_norm.weight`, [c.headDim]);
    shapes.set(`${p}self_attn.k_norm.weight`, [c.headDim]);
    shapes.set(`${p}post_attention_layernorm.weight`, [c.hidden]);
    shapes.set(`${p}mlp.gate.weight`, [c.experts, c.hidden]);
    for (let expert = 0; expert < c.experts; expert++) {
      const e = `${p}mlp.experts.${expert}.`;
      shapes.set(`${e}gate_proj.weight`, [c.expertWidth, c.hidden]);
      shapes.set(`${e}up_proj.weight`, [c.expertWidth, c.hidden]);
      shapes.set(`${e}down_proj.weight`, [c.hidden, c.expertWidth]);
    }
  }
  return shapes;
}

/** Weights in all, and weights one token meets (its experts only; the embedding counted once). */
export function countParameters(c: CheckpointConfig): { parameters: number; activeParameters: number } {
  let parameters = 0;
  let expertParameters = 0;
  for (const [name, shape] of tensorShapes(c)) {
    const count = shape.reduce((product, n) => product * n, 1);
    parameters += count;
    if (name.includes('.mlp.experts.')) expertParameters += count;
  }
  const idle = expertParameters * (1 - c.expertsPerToken / c.experts);
  return { parameters, activeParameters: Math.round(parameters - idle) };
}
