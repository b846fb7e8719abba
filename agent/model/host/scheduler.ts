/**
 * Continuous batching: each step plans rows, packs them into one ragged batch, runs the engine once, samples, and commits
 * pages to the prefix cache. Replies join and leave between any two steps.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CheckpointConfig } from '../config.ts';
import { Constraints } from '../constraint/index.ts';
import type { RetrievalHead } from '../retrieval.ts';
import { spansWithout } from '../sampling.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { type BatchSequence, type Engine, type FinishReason, ModelError, PAGE_TOKENS } from '../types.ts';
import type { ReplyEvent } from './messages.ts';
import { PageTable } from './pages.ts';
import { planStep } from './plan.ts';
import { FairQueue } from './queue.ts';
import { Reply, type ReplyParts, type ReplyRequest } from './reply.ts';

/** Rows a step computes at most: about 100 ms on one slow core, which bounds how long an abort or a new reply waits. */
export const STEP_ROWS = 128;
/** Replies computed together. Beyond this each gets too slow to read along; a class of 30 fits. */
export const MAX_RUNNING = 32;
/** First guess of how long a reply takes, milliseconds, until some were seen. */
const TYPICAL_REPLY_MS = 2_000;
/** Weight of the newest reply in the running mean of reply times. */
const NEWEST_REPLY_SHARE = 0.2;

export interface SchedulerParts {
  engine: Engine;
  tokenizer: Tokenizer;
  config: CheckpointConfig;
  head?: RetrievalHead | undefined;
  /** Called once a step with all it brought. */
  emit: (events: ReplyEvent[]) => void;
  /** The engine threw something that is no `ModelError`: it must not be used again. */
  crash: (cause: unknown) => void;
}

/** Texts being embedded, one between any two steps, so that replies go on meanwhile. */
interface Embedding {
  texts: number[][];
  rows: Float32Array[];
  resolve: (rows: Float32Array[]) => void;
  reject: (error: unknown) => void;
}

export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #replyParts: ReplyParts;
  readonly #pages: PageTable;
  readonly #waiting = new FairQueue<Reply>();
  /** Oldest first. */
  #running: Reply[] = [];
  readonly #embeddings: Embedding[] = [];
  readonly #started = new WeakMap<Reply, number>();
  #replyMs = TYPICAL_REPLY_MS;
  #looping = false;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#pages = new PageTable(parts.engine.pages);
    const endTokens = new Set(parts.config.endTokens);
    const silent = [...parts.tokenizer.special].filter((token) => !endTokens.has(token));
    this.#replyParts = {
      tokenizer: parts.tokenizer,
      constraints: new Constraints(parts.tokenizer),
      endTokens,
      speakable: spansWithout(silent, parts.config.vocabulary),
    };
  }

  /** Throws BUSY, CONTEXT_TOO_LONG, TOKEN_OUT_OF_RANGE or CONSTRAINT_*; everything later arrives through `emit`. */
  submit(id: number, request: ReplyRequest): void {
    const ahead = this.#waiting.fullFor(request.person);
    if (ahead) {
      const retryAfterMs = Math.round(Math.ceil(ahead / MAX_RUNNING) * this.#replyMs);
      throw new ModelError('BUSY', `${ahead} replies are waiting`, { retryAfterMs });
    }
    const { config, engine } = this.#parts;
    const prompt = this.#promptOf(request);
    const context = Math.min(config.context, engine.pages * PAGE_TOKENS);
    if (prompt.length >= context)
      throw new ModelError('CONTEXT_TOO_LONG', `the prompt has ${prompt.length} tokens, the context holds ${context}`);
    this.#waiting.push(new Reply(id, prompt, request, this.#replyParts, context));
    this.#wake();
  }

  /** An empty raw prompt begins where documents do: after the token that ends one. */
  #promptOf(request: ReplyRequest): number[] {
    const { tokenizer, config } = this.#parts;
    const prompt =
      'messages' in request ? tokenizer.renderChat(request.messages) : tokenizer.encodePrompt(request.prompt);
    const foreign = prompt.find((token) => token >= config.vocabulary);
    if (foreign !== undefined)
      throw new ModelError('TOKEN_OUT_OF_RANGE', `token ${foreign} is outside the vocabulary of ${config.vocabulary}`);
    return prompt.length > 0 ? prompt : [config.endTokens[0]!];
  }

  /** Takes effect now, or, when the reply is inside a running step, as soon as that step ends. */
  abort(id: number): void {
    const reply = [...this.#running, ...this.#waiting.all()].find((candidate) => candidate.id === id);
    if (reply) this.#parts.emit([this.#end(reply, 'abort')]);
  }

  /** Mean-pooled unit vectors, computed between steps. */
  embed(texts: string[]): Promise<Float32Array[]> {
    const { tokenizer } = this.#parts;
    return new Promise((resolve, reject) => {
      this.#embeddings.push({ texts: texts.map((text) => tokenizer.encode(text)), rows: [], resolve, reject });
      this.#wake();
    });
  }

  /** What the pages and queues hold, for tests and logs. */
  get load(): { running: number; waiting: number; freePages: number; cachedPages: number } {
    return {
      running: this.#running.length,
      waiting: this.#waiting.size,
      freePages: this.#pages.available,
      cachedPages: this.#pages.cachedPages,
    };
  }

  #wake(): void {
    if (this.#looping) return;
    this.#looping = true;
    void this.#loop().catch((cause: unknown) => this.#parts.crash(cause));
  }

  async #loop(): Promise<void> {
    // Requests that arrive together start together.
    await nextTurn();
    while (this.#running.length + this.#waiting.size + this.#embeddings.length > 0) {
      this.#admit();
      if (this.#running.length > 0) await this.#step();
      await this.#embedNext();
      // A turn of the event loop: messages (aborts, new replies) are read between any two steps.
      await nextTurn();
    }
    this.#looping = false;
  }

  /** In turn: a long prompt that finds no room holds the door for those behind it. */
  #admit(): void {
    while (this.#running.length < MAX_RUNNING) {
      const reply = this.#waiting.next;
      if (!reply) return;
      const lease = this.#pages.lease(reply.tokens, reply.room);
      if (!lease) return;
      reply.lease = lease;
      reply.computed = lease.cached;
      this.#started.set(reply, performance.now());
      this.#running.push(reply);
      this.#waiting.take(reply);
    }
  }

  async #step(): Promise<void> {
    const replies = this.#running;
    const counts = planStep(
      replies.map((reply) => reply.tokens.length - reply.computed),
      STEP_ROWS,
    );
    await this.#compute(replies.flatMap((reply, i) => (counts[i]! > 0 ? [{ reply, count: counts[i]! }] : [])));
  }

  /** Some rows of some replies, in one call of the engine. */
  async #compute(parts: { reply: Reply; count: number }[]): Promise<void> {
    const total = parts.reduce((sum, { count }) => sum + count, 0);
    const tokens = new Int32Array(total);
    const sequences: BatchSequence[] = [];
    let start = 0;
    for (const { reply, count } of parts) {
      const past = reply.computed;
      for (let i = 0; i < count; i++) tokens[start + i] = reply.tokens[past + i]!;
      sequences.push({ start, count, past, pages: reply.lease!.pages, logits: past + count === reply.tokens.length });
      start += count;
    }

    const began = performance.now();
    let logits: Float32Array;
    try {
      logits = await this.#parts.engine.step({ tokens, sequences });
    } catch (cause) {
      if (!isOneReplys(cause)) throw cause;
      await this.#blame(parts, cause);
      return;
    }
    const elapsed = performance.now() - began;
    const sums = this.#parts.engine.logSumExp?.();

    const events: ReplyEvent[] = [];
    const { vocabulary } = this.#parts.config;
    let row = 0;
    for (const [i, { reply, count }] of parts.entries()) {
      const own = sequences[i]!.logits ? row++ : -1;
      // Aborted while the step ran: its pages are given back already.
      if (!reply.lease) continue;
      reply.computed += count;
      reply.computeMs += (elapsed * count) / total;
      this.#pages.seal(reply.lease, reply.tokens, reply.computed);
      if (own >= 0) this.#say(reply, logits.subarray(own * vocabulary, (own + 1) * vocabulary), sums?.[own], events);
    }
    if (events.length > 0) this.#parts.emit(events);
  }

  #say(reply: Reply, logits: Float32Array, total: number | undefined, events: ReplyEvent[]): void {
    try {
      const { finish, ...said } = reply.say(logits, total);
      events.push({ id: reply.id, event: { type: 'token', ...said } });
      if (finish) events.push(this.#end(reply, finish));
    } catch (cause) {
      if (!(cause instanceof ModelError)) throw cause;
      events.push(this.#fail(reply, cause));
    }
  }

  /** The engine refused a step: whoever it refuses alone has failed, the others go on. */
  async #blame(parts: { reply: Reply; count: number }[], cause: ModelError): Promise<void> {
    if (parts.length === 1) this.#parts.emit([this.#fail(parts[0]!.reply, cause)]);
    else for (const part of parts) if (part.reply.lease) await this.#compute([part]);
  }

  #leave(reply: Reply): void {
    this.#running = this.#running.filter((other) => other !== reply);
    this.#waiting.take(reply);
    if (!reply.lease) return;
    const { lease } = reply;
    reply.lease = undefined;
    this.#pages.release(lease);
  }

  #end(reply: Reply, reason: FinishReason): ReplyEvent {
    const cachedTokens = reply.lease?.cached ?? 0;
    this.#leave(reply);
    const started = this.#started.get(reply);
    if (started !== undefined && reason !== 'abort')
      this.#replyMs += NEWEST_REPLY_SHARE * (performance.now() - started - this.#replyMs);
    const { promptTokens, completionTokens, computeMs, text } = reply;
    return {
      id: reply.id,
      event: { type: 'end', reason, text, usage: { promptTokens, cachedTokens, completionTokens, computeMs } },
    };
  }

  #fail(reply: Reply, error: ModelError): ReplyEvent {
    this.#leave(reply);
    return { id: reply.id, error };
  }

  async #embedNext(): Promise<void> {
    const request = this.#embeddings[0];
    if (!request) return;
    const { texts, rows } = request;
    try {
      if (rows.length < texts.length) rows.push(await this.#embedded(texts[rows.length]!));
      if (rows.length < texts.length) return;
      request.resolve(rows);
    } catch (cause) {
      request.reject(cause);
      if (!isOneReplys(cause)) throw cause;
    }
    this.#embeddings.shift();
  }

  /** A text without tokens has no direction: all zeros. */
  async #embedded(tokens: number[]): Promise<Float32Array> {
    const { engine, head, config } = this.#parts;
    if (tokens.length === 0) return new Float32Array(head?.width ?? config.hidden);
    const pooled = await engine.embed(Int32Array.from(tokens));
    return unit(head ? head.apply(pooled) : pooled);
  }
}

/** Whether the step failed for what one reply asked; otherwise the engine itself is broken, and the next one starts fresh. */
function isOneReplys(cause: unknown): cause is ModelError {
  return cause instanceof ModelError && !cause.code.startsWith('ENGINE_');
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return length > 0 ? vector.map((value) => value / length) : vector;
}
