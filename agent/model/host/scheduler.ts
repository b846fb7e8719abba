/**
 * Continuous batching: each step plans rows, packs them into one ragged batch, runs the engine once, samples, and commits
 * pages to the prefix cache. Replies join and leave between any two steps.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CheckpointConfig } from '../config.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { type BatchSequence, type Engine, type FinishReason, ModelError, PAGE_TOKENS } from '../types.ts';
import type { ReplyEvent } from './messages.ts';
import { PageTable } from './pages.ts';
import { planStep } from './plan.ts';
import { Reply, type ReplyParts, type ReplyRequest } from './reply.ts';

/** Rows a step computes at most: about 100 ms on one slow core, which bounds how long an abort or a new reply waits. */
export const STEP_ROWS = 128;
/** Replies computed together. Beyond this each gets too slow to read along; a class of 30 fits. */
export const MAX_RUNNING = 32;
/** Replies waiting their turn. Two classes at once; more are told to come back. */
export const MAX_WAITING = 64;
/** First guess of how long a reply takes, milliseconds, until some were seen. */
const TYPICAL_REPLY_MS = 2_000;
/** Weight of the newest reply in the running mean of reply times. */
const NEWEST_REPLY_SHARE = 0.2;

export interface SchedulerParts {
  engine: Engine;
  tokenizer: Tokenizer;
  config: CheckpointConfig;
  /** Called once a step with all it brought. */
  emit: (events: ReplyEvent[]) => void;
  /** The engine threw something that is no `ModelError`: it must not be used again. */
  crash: (cause: unknown) => void;
}

export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #replyParts: ReplyParts;
  readonly #pages: PageTable;
  readonly #waiting: Reply[] = [];
  /** Oldest first. */
  #running: Reply[] = [];
  readonly #embeddings: { texts: number[][]; resolve: (rows: Float32Array[]) => void; reject: (e: unknown) => void }[] =
    [];
  readonly #started = new WeakMap<Reply, number>();
  #replyMs = TYPICAL_REPLY_MS;
  #looping = false;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#pages = new PageTable(parts.engine.pages);
    const endTokens = new Set(parts.config.endTokens);
    this.#replyParts = {
      tokenizer: parts.tokenizer,
      endTokens,
      banned: [...parts.tokenizer.special].filter((token) => !endTokens.has(token)),
    };
  }

  /** Throws BUSY, CONTEXT_TOO_LONG or CONSTRAINT_IMPOSSIBLE; everything later arrives through `emit`. */
  submit(id: number, request: ReplyRequest): void {
    if (this.#waiting.length >= MAX_WAITING) {
      const rounds = Math.ceil(this.#waiting.length / MAX_RUNNING);
      const retryAfterMs = Math.round(rounds * this.#replyMs);
      throw new ModelError('BUSY', `${this.#waiting.length} replies are waiting`, { retryAfterMs });
    }
    const { tokenizer, config, engine } = this.#parts;
    const prompt = 'messages' in request ? tokenizer.renderChat(request.messages) : tokenizer.encode(request.prompt);
    const context = Math.min(config.context, engine.pages * PAGE_TOKENS);
    if (prompt.length >= context)
      throw new ModelError('CONTEXT_TOO_LONG', `the prompt has ${prompt.length} tokens, the context holds ${context}`);
    this.#waiting.push(new Reply(id, prompt, request, this.#replyParts, context));
    this.#wake();
  }

  /** Takes effect now, or, when the reply is inside a running step, as soon as that step ends. */
  abort(id: number): void {
    const reply = [...this.#running, ...this.#waiting].find((candidate) => candidate.id === id);
    if (reply) this.#parts.emit([this.#end(reply, 'abort')]);
  }

  /** Mean-pooled unit vectors, computed between steps. */
  embed(texts: string[]): Promise<Float32Array[]> {
    const { tokenizer } = this.#parts;
    return new Promise((resolve, reject) => {
      this.#embeddings.push({ texts: texts.map((text) => tokenizer.encode(text)), resolve, reject });
      this.#wake();
    });
  }

  /** What the pages and queues hold, for tests and logs. */
  get load(): { running: number; waiting: number; freePages: number; cachedPages: number } {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
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
    while (this.#running.length + this.#waiting.length + this.#embeddings.length > 0) {
      this.#admit();
      if (this.#running.length > 0) await this.#step();
      await this.#embedNext();
      // A turn of the event loop: messages (aborts, new replies) are read between any two steps.
      await nextTurn();
    }
    this.#looping = false;
  }

  /** First come, first served: a long prompt that finds no room holds the door for those behind it. */
  #admit(): void {
    while (this.#waiting.length > 0 && this.#running.length < MAX_RUNNING) {
      const reply = this.#waiting[0]!;
      const lease = this.#pages.lease(reply.tokens, reply.room);
      if (!lease) return;
      reply.lease = lease;
      reply.computed = lease.cached;
      this.#started.set(reply, performance.now());
      this.#running.push(reply);
      this.#waiting.shift();
    }
  }

  async #step(): Promise<void> {
    const replies = this.#running;
    const counts = planStep(
      replies.map((reply) => reply.tokens.length - reply.computed),
      STEP_ROWS,
    );
    const total = counts.reduce((sum, count) => sum + count, 0);
    const tokens = new Int32Array(total);
    const active: { reply: Reply; sequence: BatchSequence }[] = [];
    let start = 0;
    replies.forEach((reply, i) => {
      const count = counts[i]!;
      if (count === 0) return;
      const past = reply.computed;
      tokens.set(reply.tokens.slice(past, past + count), start);
      const logits = past + count === reply.tokens.length;
      active.push({ reply, sequence: { start, count, past, pages: reply.lease!.pages, logits } });
      start += count;
    });

    const began = performance.now();
    let logits: Float32Array;
    try {
      logits = await this.#parts.engine.step({ tokens, sequences: active.map(({ sequence }) => sequence) });
    } catch (cause) {
      if (!(cause instanceof ModelError)) throw cause;
      this.#parts.emit(active.map(({ reply }) => this.#fail(reply, cause)));
      return;
    }
    const elapsed = performance.now() - began;

    const events: ReplyEvent[] = [];
    let row = 0;
    for (const { reply, sequence } of active) {
      const own = sequence.logits ? row++ : -1;
      // Aborted while the step ran: its pages are given back already.
      if (!reply.lease) continue;
      reply.computed += sequence.count;
      reply.computeMs += (elapsed * sequence.count) / total;
      this.#pages.seal(reply.lease, reply.tokens, reply.computed);
      if (own < 0) continue;
      const { vocabulary } = this.#parts.config;
      const { finish, ...said } = reply.say(logits.subarray(own * vocabulary, (own + 1) * vocabulary));
      events.push({ id: reply.id, event: { type: 'token', ...said } });
      if (finish) events.push(this.#end(reply, finish));
    }
    if (events.length > 0) this.#parts.emit(events);
  }

  #leave(reply: Reply): void {
    this.#running = this.#running.filter((other) => other !== reply);
    const at = this.#waiting.indexOf(reply);
    if (at >= 0) this.#waiting.splice(at, 1);
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
    const request = this.#embeddings.shift();
    if (!request) return;
    try {
      const rows: Float32Array[] = [];
      for (const text of request.texts) rows.push(unit(await this.#parts.engine.embed(Int32Array.from(text))));
      request.resolve(rows);
    } catch (cause) {
      request.reject(cause);
      if (!(cause instanceof ModelError)) throw cause;
    }
  }
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return length > 0 ? vector.map((value) => value / length) : vector;
}
