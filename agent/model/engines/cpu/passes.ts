/**
 * Cuts a batch into passes that fit the engine's working memory, and checks it: a bad token or page would otherwise read
 * or overwrite another conversation's memory. Pure.
 */
import { type Batch, type BatchSequence, ModelError, PAGE_TOKENS } from '../../types.ts';

export interface Limits {
  vocabulary: number;
  context: number;
  pages: number;
  /** Most rows, and most rows with logits, of one pass. */
  rows: number;
  logits: number;
}

/** Rows of one pass; every sequence part has its own place in `pages`. */
export interface Pass {
  tokens: number[];
  positions: number[];
  /** Where the row's page list starts in `pages`. */
  pagesAt: number[];
  pages: number[];
  /** Rows whose logits are wanted, ascending. */
  wanted: number[];
}

function checkSequence(s: BatchSequence, tokens: Int32Array, limits: Limits): void {
  const length = s.past + s.count;
  if (s.count < 1 || s.past < 0 || s.start < 0 || s.start + s.count > tokens.length)
    throw new RangeError(`sequence of ${s.count} rows at ${s.start} does not fit a batch of ${tokens.length} tokens`);
  if (length > limits.context)
    throw new ModelError('CONTEXT_TOO_LONG', `position ${length} is past the model's context of ${limits.context}`);
  if (s.pages.length * PAGE_TOKENS < length)
    throw new RangeError(`${s.pages.length} KV pages cannot hold ${length} tokens`);
  for (const page of s.pages)
    if (page < 0 || page >= limits.pages)
      throw new RangeError(`KV page ${page} does not exist (${limits.pages} pages)`);
  for (let row = s.start; row < s.start + s.count; row++) {
    const token = tokens[row]!;
    if (token < 0 || token >= limits.vocabulary)
      throw new ModelError('TOKEN_OUT_OF_RANGE', `token ${token} is outside the vocabulary of ${limits.vocabulary}`);
  }
}

export function cutPasses({ tokens, sequences }: Batch, limits: Limits): Pass[] {
  for (const sequence of sequences) checkSequence(sequence, tokens, limits);
  const passes: Pass[] = [];
  const open = (): Pass => {
    const pass: Pass = { tokens: [], positions: [], pagesAt: [], pages: [], wanted: [] };
    passes.push(pass);
    return pass;
  };
  let pass = open();
  for (const s of sequences) {
    for (let done = 0; done < s.count; ) {
      if (pass.tokens.length === limits.rows || pass.wanted.length === limits.logits) pass = open();
      const count = Math.min(s.count - done, limits.rows - pass.tokens.length);
      const list = pass.pages.length;
      // Only pages that these rows see.
      const seen = Math.ceil((s.past + done + count) / PAGE_TOKENS);
      for (let i = 0; i < seen; i++) pass.pages.push(s.pages[i]!);
      for (let i = done; i < done + count; i++) {
        pass.tokens.push(tokens[s.start + i]!);
        pass.positions.push(s.past + i);
        pass.pagesAt.push(list);
      }
      done += count;
      if (done === s.count && s.logits) pass.wanted.push(pass.tokens.length - 1);
    }
  }
  return passes.filter(({ tokens }) => tokens.length > 0);
}
