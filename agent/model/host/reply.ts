/**
 * One reply being made: its tokens, its pages, its own chance, and how it ends. Every reply has its own random source, so
 * what it draws does not depend on who else is in the batch.
 */
import { randomInt } from 'node:crypto';
import type { Constraints, Guide } from '../constraint/index.ts';
import { likeliest, randomFrom, type Span, sample } from '../sampling.ts';
import type { TextStream, Tokenizer } from '../tokenizer.ts';
import { type Alternative, type FinishReason, type GenerateOptions, ModelError, type Prompt } from '../types.ts';
import type { Lease } from './pages.ts';
import { StopScanner } from './stop.ts';

/** What crosses to the worker: a request without its signal. */
export type ReplyRequest = Prompt & Omit<GenerateOptions, 'signal'>;

/** How many seeds an unseeded reply draws from; `crypto.randomInt` allows ranges below 2^48. */
const SEEDS = 2 ** 47;
/** As the OpenAI API: more alternatives are noise. */
const MOST_ALTERNATIVES = 20;

export interface ReplyParts {
  tokenizer: Tokenizer;
  constraints: Constraints;
  endTokens: ReadonlySet<number>;
  /** Tokens a reply may be made of: all but the special ones that do not end it. */
  speakable: readonly Span[];
}

export interface Said {
  token: number;
  text: string;
  logprob: number;
  top?: Alternative[];
  finish: FinishReason | undefined;
}

export class Reply {
  readonly id: number;
  readonly person: string | undefined;
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
  readonly #guide: Guide | undefined;
  readonly #alternatives: number;
  readonly #stream: TextStream;
  readonly #stop: StopScanner;
  readonly #used = new Set<number>();

  /** Throws CONSTRAINT_*. `context` bounds prompt and reply together. */
  constructor(id: number, prompt: number[], request: ReplyRequest, parts: ReplyParts, context: number) {
    this.id = id;
    this.person = request.person;
    this.tokens = prompt;
    this.promptTokens = prompt.length;
    this.#request = request;
    this.#parts = parts;
    this.#maxTokens = Math.min(Math.max(1, Math.floor(request.maxTokens) || 1), context - prompt.length);
    this.#random = randomFrom(request.sampling.seed ?? randomInt(SEEDS));
    this.#guide = request.constraint && parts.constraints.begin(request.constraint);
    this.#alternatives = Math.min(MOST_ALTERNATIVES, Math.max(0, Math.floor(request.topLogprobs ?? 0) || 0));
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

  /**
   * Chooses the next token from the logits after the tokens so far; `total` is their log Σ eˣ if known. Throws CONSTRAINT_IMPOSSIBLE where the vocabulary
   * leaves no way on, and ENGINE_CRASHED for logits that are no numbers.
   */
  say(logits: Float32Array, total?: number): Said {
    const { endTokens, speakable, tokenizer } = this.#parts;
    const allowed = this.#guide && this.#allowed(this.#guide);
    const mask = { ...(allowed ? { allowed } : { speakable }), used: this.#used };
    const { token, logprob } = sample(logits, this.#request.sampling, mask, this.#random, total);
    const top = this.#alternatives > 0 && this.#alternativesIn(logits, total);
    this.tokens.push(token);
    this.#used.add(token);
    const isEnd = endTokens.has(token);
    if (!isEnd) this.#guide?.push(token);

    const ended = isEnd || this.#guide?.ended;
    const full = this.completionTokens >= this.#maxTokens;
    const piece = isEnd || tokenizer.special.has(token) ? '' : this.#stream.push(token);
    const { text, stopped } = this.#stop.push(piece, Boolean(ended) || full);
    this.text += text;
    return {
      token,
      text,
      logprob,
      ...(top && { top }),
      finish: ended || stopped ? 'stop' : full ? 'length' : undefined,
    };
  }

  #allowed(guide: Guide): ArrayLike<number> {
    const allowed = guide.allowed(this.#maxTokens - this.completionTokens);
    if (guide.complete) return [...Array.from(allowed), ...this.#parts.endTokens];
    if (allowed.length === 0)
      throw new ModelError('CONSTRAINT_IMPOSSIBLE', 'the constraint cannot be kept: no token of the vocabulary fits');
    return allowed;
  }

  #alternativesIn(logits: Float32Array, total?: number): Alternative[] {
    const { tokenizer } = this.#parts;
    return likeliest(logits, this.#alternatives, total).map((choice) => ({
      ...choice,
      text: tokenizer.nameOf(choice.token),
    }));
  }
}
