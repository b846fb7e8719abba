/** Which model answers, by name and by weights. There is one; clients list it before they call it. */
import type { Model as ListedModel } from 'openai/resources/models';
import type { ModelInfo } from '../../../agent/model/index.ts';
import { AppError } from '../../errors.ts';

/** Whatever checkpoint is loaded also answers to this. */
const ALIAS = 'xiaohe';
const FINGERPRINT_DIGITS = 12;

/** `xiaohe-seedling`; a remote server's model keeps its own name. */
export function modelIdOf({ checkpoint: { name }, engine }: ModelInfo): string {
  return engine.name === 'remote' || name.startsWith(ALIAS) ? name : `${ALIAS}-${name}`;
}

/** Same weights on the same engine: the same seed says the same. */
export function fingerprintOf({ checkpoint: { sha256 }, engine }: ModelInfo): string {
  return `fp_${sha256.slice(0, FINGERPRINT_DIGITS)}_${engine.name}`;
}

/** Throws API_MODEL_UNKNOWN. */
export function requireModel(info: ModelInfo, id: string): void {
  if (id !== ALIAS && id !== modelIdOf(info)) throw new AppError('API_MODEL_UNKNOWN');
}

/** `max_model_len` is vLLM's extra; clients size their prompts by it. */
export function listing(info: ModelInfo, created: number): ListedModel & { max_model_len: number } {
  return { id: modelIdOf(info), object: 'model', created, owned_by: 'xiaohe', max_model_len: info.checkpoint.context };
}

/** Characters of the longest common words' tokens. Real text has two to five a token, Chinese one. */
const TOKEN_CHARS = 16;

/**
 * Throws CONTEXT_TOO_LONG for texts that no tokenizer makes short enough. The model would say so, too, but only after
 * cutting all of it into tokens, and everyone else's replies wait for that: a megabyte takes seconds.
 */
export function requireShort({ checkpoint: { context } }: ModelInfo, texts: readonly string[]): void {
  for (const { length } of texts)
    if (length > context * TOKEN_CHARS)
      throw new AppError('CONTEXT_TOO_LONG', `a text has ${length} characters, the context holds ${context} tokens`);
}
