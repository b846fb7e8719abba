/**
 * The shipped checkpoint and its reference, opened once per test file. The reference was written by transformers (fp32)
 * on the same dequantised weights.
 */
import { readFileSync } from 'node:fs';
import { openCheckpoint } from '../../../../agent/model/checkpoint.ts';
import { SHIPPED_CHECKPOINT } from '../../../../agent/model/index.ts';
import { openTokenizer } from '../../../../agent/model/tokenizer.ts';
import type { ChatMessage, Engine, Sampling } from '../../../../agent/model/types.ts';

export interface ReferenceCase {
  text: string;
  ids: number[];
  top_ids: number[];
  top_logits: number[];
  fixed_logits: number[];
  /** 200 tokens, past any end mark. */
  greedy: number[];
  /** The winner's logit at each of them. */
  greedy_logits: number[];
  /** Positions where the two best nearly tie: [position, runner-up, margin]. */
  close: [number, number, number][];
  /** Positions where the last chosen and the first refused expert nearly tie: [position, gap]. */
  rerouted: [number, number][];
  /** Up to the first end mark. */
  greedy_text: string;
}
export interface Reference {
  fixed_ids: number[];
  /** Conversations under the chat template. */
  cases: ReferenceCase[];
  /** Raw text. */
  raw: ReferenceCase[];
}

export const reference: Reference = JSON.parse(
  readFileSync(new URL('./reference-seedling.json', import.meta.url), 'utf8'),
);
export const checkpoint = await openCheckpoint(SHIPPED_CHECKPOINT);
export const tokenizer = await openTokenizer(SHIPPED_CHECKPOINT, checkpoint.config.vocabulary);

export const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

/** The messages of a rendered ChatML prompt. */
export function messagesOf(text: string): ChatMessage[] {
  const turns = text.matchAll(/<\|im_start\|>(\w+)\n([\s\S]*?)<\|im_end\|>\n/g);
  return Array.from(turns, ([, role, content]) => ({ role: role as ChatMessage['role'], content: content! }));
}

export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

/** One sequence driven by hand: feeds tokens in the given chunks and returns the logits after the last. */
export class Sequence {
  readonly pages: Int32Array;
  past = 0;
  readonly #engine: Engine;
  constructor(engine: Engine, pages: Int32Array) {
    this.#engine = engine;
    this.pages = pages;
  }
  async feed(tokens: number[], chunk = tokens.length): Promise<Float32Array> {
    let logits = new Float32Array();
    for (let at = 0; at < tokens.length; at += chunk) {
      const rows = Int32Array.from(tokens.slice(at, at + chunk));
      const sequence = { start: 0, count: rows.length, past: this.past, pages: this.pages, logits: true };
      logits = (await this.#engine.step({ tokens: rows, sequences: [sequence] })).slice();
      this.past += rows.length;
    }
    return logits;
  }
}
