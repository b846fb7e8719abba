/**
 * One reply being made: its tokens, its pages, its own chance, and how it ends. Every reply has its own random source, so
 * what it draws does not depend on who else is in the batch.
 */
import { randomInt } from 'node:crypto';
import { type Alphabet, allowedTokens, planSlots, type SlotPlan } from '../constraint.ts';
import { randomFrom, sample } from '../sampling.ts';
import type { TextStream, Tokenizer } from '../tokenizer.ts';
import { type FinishReason, type GenerateOptions, ModelError, type Prompt } from '../types.ts';
import type { Lease } from './pages.ts';
import { StopScanner } from './stop.ts';

/** What crosses to the worker: a request without its signal. */
export type ReplyRequest = Prompt & Omit<GenerateOptions, 'signal'>;

/** How many seeds an unseeded reply draws from; `crypto.randomInt` allows ranges below 2^48. */
const SEEDS = 2 ** 47;

export interface ReplyParts {
  tokenizer: Tokenizer;
  endTokens: ReadonlySet<number>;
  /** Special tokens that are no part of a text and do not end it. */
  banned: readonly number[];
}

export interface Said {
  token: number;
  text: string;
  logprob: number;
  finish: FinishReason | undefined;
}

export class Reply {
  readonly id: number;
  /** Prompt, then what was said so far. */
  readonly tokens: number[];
  readonly promptTokens: number;
  /** Leased when the reply is admitted. */
  lease: Lease | undefined;
  /** Tokens whose keys and values are in the pages. */
  computed = 0;
  /** The engine's time spent on this reply, milliseconds. */
  computeMs = 0;
  text = '';

  readonly #request: ReplyRequest;
  readonly #parts: ReplyParts;
  readonly #maxTokens: number;
  readonly #random: () => number;
  readonly #slots: SlotPlan | undefined;
  readonly #stream: TextStream;
  readonly #stop: StopScanner;
  readonly #used = new Set<number>();

  /** Throws CONSTRAINT_IMPOSSIBLE. `context` bounds prompt and reply together. */
  constructor(id: number, prompt: number[], request: ReplyRequest, parts: ReplyParts, context: number) {
    this.id = id;
    this.tokens = prompt;
    this.promptTokens = prompt.length;
    this.#request = request;
    this.#parts = parts;
    this.#maxTokens = Math.min(Math.max(1, Math.floor(request.maxTokens) || 1), context - prompt.length);
    this.#random = randomFrom(request.sampling.seed ?? randomInt(SEEDS));
    const alphabet: Alphabet = parts.tokenizer;
    if (request.constraint?.kind === 'json') throw new ModelError('CONSTRAINT_UNSUPPORTED', 'JSON is not enforced yet');
    this.#slots = request.constraint && planSlots(request.constraint, alphabet);
    this.#stream = parts.tokenizer.stream();
    this.#stop = new StopScanner(request.stop ?? []);
  }

  get completionTokens(): number {
    return this.tokens.length - this.promptTokens;
  }
  /** Positions this reply can need. Its last token is never fed back, but a page boundary is not worth the subtraction. */
  get room(): number {
    return this.promptTokens + this.#maxTokens;
  }

  /** Chooses the next token from the logits after the tokens so far. */
  say(logits: Float32Array): Said {
    const { sampling } = this.#request;
    const { endTokens, banned, tokenizer } = this.#parts;
    const allowed = this.#slots && allowedTokens(this.#slots, this.tokens.slice(this.promptTokens));
    const mask = { ...(allowed && { allowed }), banned, used: this.#used };
    const { token, logprob } = sample(logits, sampling, mask, this.#random);
    this.tokens.push(token);
    this.#used.add(token);

    const ended = endTokens.has(token) || (this.#slots && this.completionTokens >= this.#slots.classOf.length);
    const full = this.completionTokens >= this.#maxTokens;
    const piece = endTokens.has(token) || tokenizer.special.has(token) ? '' : this.#stream.push(token);
    const { text, stopped } = this.#stop.push(piece, Boolean(ended) || full);
    this.text += text;
    return { token, text, logprob, finish: ended || stopped ? 'stop' : full ? 'length' : undefined };
  }
}
