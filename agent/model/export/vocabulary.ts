/**
 * The tokenizer of a checkpoint directory in the words of GGUF: every token by id with its kind, the merges in order, and
 * the special tokens. llama.cpp's `qwen2` pre-tokenizer is the one our tokenizers use; any other split is refused, since
 * it would cut text into other tokens.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from '../types.ts';
import { readJson } from '../weights.ts';

/** Token kinds as llama.cpp numbers them. */
export const TOKEN_KINDS = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** Qwen2's split, exactly; llama.cpp runs the same expression for `tokenizer.ggml.pre = qwen2`. */
const QWEN2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const id = z.int().nonnegative();
const TokenizerJson = z.object({
  added_tokens: z.array(z.object({ id, content: z.string(), special: z.boolean() })),
  normalizer: z.unknown(),
  pre_tokenizer: z.object({
    type: z.literal('Sequence'),
    pretokenizers: z.tuple([
      z.object({ type: z.literal('Split'), pattern: z.object({ Regex: z.string() }), behavior: z.literal('Isolated') }),
      z.object({ type: z.literal('ByteLevel'), add_prefix_space: z.literal(false) }),
    ]),
  }),
  model: z.object({
    type: z.literal('BPE'),
    vocab: z.record(z.string(), id),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()]).transform((pair) => pair.join(' '))])),
  }),
});
const TokenizerConfig = z.looseObject({ chat_template: z.string().optional() });

export interface Vocabulary {
  /** By id, as long as the embedding has rows; ids nobody uses are `[PADn]`. */
  tokens: string[];
  kinds: number[];
  /** `left right`, highest rank first. */
  merges: string[];
  special: Map<string, number>;
  chatTemplate: string | undefined;
}

export async function readVocabulary(directory: string, size: number): Promise<Vocabulary> {
  const path = join(directory, 'tokenizer.json');
  const parsed = TokenizerJson.safeParse(await readJson(path, true));
  if (!parsed.success)
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${path}: not a byte-level BPE: ${z.prettifyError(parsed.error)}`);
  const { added_tokens, model, normalizer, pre_tokenizer } = parsed.data;
  // NFC changes nothing that is already composed, and llama.cpp never normalises; Qwen's own GGUF files leave it out too.
  const normalises = (normalizer as { type?: string } | null)?.type;
  if (pre_tokenizer.pretokenizers[0].pattern.Regex !== QWEN2 || (normalises !== undefined && normalises !== 'NFC'))
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${path}: splits text otherwise than llama.cpp's qwen2`);

  const tokens = Array.from({ length: size }, (_, i) => `[PAD${i}]`);
  const kinds = Array.from({ length: size }, () => TOKEN_KINDS.unused as number);
  const put = (token: string, at: number, kind: number) => {
    if (at >= size) throw new ModelError('CHECKPOINT_BROKEN', `${path}: token ${at} lies outside the vocabulary`);
    tokens[at] = token;
    kinds[at] = kind;
  };
  for (const [token, at] of Object.entries(model.vocab)) put(token, at, TOKEN_KINDS.normal);
  for (const { id, content, special } of added_tokens)
    put(content, id, special ? TOKEN_KINDS.control : TOKEN_KINDS.userDefined);
  return {
    tokens,
    kinds,
    merges: model.merges,
    special: new Map(added_tokens.map(({ content, id }) => [content, id])),
    chatTemplate: await readChatTemplate(directory),
  };
}

async function readChatTemplate(directory: string): Promise<string | undefined> {
  try {
    return await readFile(join(directory, 'chat_template.jinja'), 'utf8');
  } catch {
    // Older directories keep it inside tokenizer_config.json.
    const config = await readJson(join(directory, 'tokenizer_config.json'), false);
    return TokenizerConfig.safeParse(config).data?.chat_template;
  }
}
