/**
 * A model that lives on another server, behind the same interface as our own: any OpenAI-compatible server through
 * LangChain. It streams, stops, is told its errors by code, and forgets nothing of what the server refused.
 */
import type { BaseMessage } from '@langchain/core/messages';
import { AIMessage, HumanMessage, SystemMessage } from '@langchain/core/messages';
import { OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import {
  type ChatMessage,
  type FinishReason,
  type GenerateEvent,
  type GenerateRequest,
  type Model,
  ModelError,
  type ModelInfo,
  type ModelOptions,
  type Sampling,
} from '../types.ts';
import { RemoteChat } from './chat.ts';
import { countsOf, finishOf, NO_TOKEN, type TokenCounts, tokensOf } from './chunks.ts';
import type { Connection } from './connection.ts';
import { Constrained } from './constrained.ts';
import { Dialect, type Feature } from './dialect.ts';
import type { Discovery } from './discover.ts';
import { isIncapable, messageOf, toModelError } from './failure.ts';
import { infoOf } from './info.ts';

type Log = NonNullable<ModelOptions['log']>;

/** Ours by name, wherever it is served: it knows the short prompts it was trained on, and no tools. */
const OURS = /xiaohe|seedling|sapling/i;
/** Texts in one embedding request; servers differ in what they take, all take this. */
const EMBED_BATCH = 64;

export interface Asked extends Omit<GenerateRequest, 'constraint' | 'person'> {
  messages?: ChatMessage[];
  prompt?: string;
}

export class RemoteModel implements Model {
  readonly info: ModelInfo;
  /** A checkpoint of ours, served elsewhere. */
  readonly own: boolean;
  /** False once the server refused tools; undefined while nobody asked. */
  canCallTools: boolean | undefined;
  readonly #connection: Connection;
  readonly #name: string;
  readonly #dialect: Dialect;
  readonly #constrained: Constrained;
  readonly #log: Log;
  /** Replies under way, to be ended with the model. */
  readonly #running = new Set<AbortController>();
  #closed = false;

  constructor(connection: Connection, found: Discovery, loadMs: number, log: Log) {
    this.#connection = connection;
    this.#name = found.model;
    this.#log = log;
    this.#dialect = new Dialect(found.kind);
    this.#constrained = new Constrained(found.kind, (asked, fields) => this.#reply(asked, fields));
    this.own = found.kind === 'Xiaohe' || OURS.test(found.model);
    if (this.own) this.canCallTools = false;
    this.info = infoOf(connection, found, loadMs);
  }

  async *generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, undefined> {
    const { constraint, person: _, ...rest } = request;
    // One of its own: listeners that libraries leave on a signal go when the reply does.
    const stop = new AbortController();
    const follow = () => stop.abort(request.signal?.reason);
    request.signal?.addEventListener('abort', follow, { once: true });
    if (request.signal?.aborted || this.#closed) stop.abort();
    this.#running.add(stop);
    try {
      const asked = { ...rest, signal: stop.signal };
      yield* constraint ? this.#constrained.reply(asked, constraint) : this.#reply(asked, {});
    } finally {
      this.#running.delete(stop);
      request.signal?.removeEventListener('abort', follow);
    }
  }

  /** LangChain's chat model for this server, for whoever binds tools to it. Errors are raw: `explain` words them. */
  chat(options: { sampling: Sampling; maxTokens: number }): RemoteChat {
    const features = this.#dialect.accepted(new Set(['logprobs']));
    return this.#chat(options, features, seedOf(options.sampling, features));
  }

  /** How many kinds of fields this server is known to refuse. */
  get refusals(): number {
    return this.#dialect.refusals;
  }

  explain(error: unknown): ModelError {
    return toModelError(error, this.#connection, this.#name);
  }

  /** Whether an error says that the server cannot do what it was asked, tools for example. */
  isIncapable(error: unknown): boolean {
    return isIncapable(error);
  }

  async embed(texts: string[]): Promise<Float32Array[]> {
    if (texts.length === 0) return [];
    const embeddings = new OpenAIEmbeddings({
      ...this.#client(),
      batchSize: EMBED_BATCH,
      stripNewLines: false,
      encodingFormat: 'float',
    });
    try {
      const rows = await embeddings.embedDocuments(texts);
      // llama.cpp without pooling answers one vector a token instead of one a text.
      if (rows.length !== texts.length || rows.some((row) => row.length === 0 || !row.every(Number.isFinite)))
        throw new ModelError('REMOTE_FAILED', `${this.#connection.host} gave no vector for each text`);
      return rows.map((row) => unit(Float32Array.from(row)));
    } catch (error) {
      const { code, message, retryAfterMs } = this.explain(error);
      throw new ModelError(
        code === 'CONTEXT_TOO_LONG' || code === 'BUSY' ? code : 'REMOTE_FAILED',
        `no embeddings: ${message}`,
        {
          ...(retryAfterMs !== undefined && { retryAfterMs }),
        },
      );
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#running) stop.abort();
  }

  /** One reply. What the server refuses is left out and, once it answers without, remembered. */
  async *#reply(asked: Asked, fields: Record<string, unknown>): AsyncGenerator<GenerateEvent, void, undefined> {
    const started = performance.now();
    const without = new Set<Feature>();
    for (;;) {
      const features = this.#dialect.accepted(without);
      let begun = false;
      try {
        for await (const event of this.#stream(asked, features, fields, started)) {
          begun = true;
          yield event;
        }
        const learned = this.#dialect.learn(without);
        if (learned.length > 0)
          this.#log('warn', 'the remote server does not take some settings; they are left out', { learned });
        return;
      } catch (error) {
        const aboutForm = Object.keys(fields).some((name) => messageOf(error).includes(name));
        const blamed = begun || aboutForm ? [] : this.#dialect.blamed(error, features);
        if (blamed.length === 0) throw this.explain(error);
        for (const feature of blamed) without.add(feature);
      }
    }
  }

  async *#stream(
    asked: Asked,
    features: ReadonlySet<Feature>,
    fields: Record<string, unknown>,
    started: number,
  ): AsyncGenerator<GenerateEvent, void, undefined> {
    const { signal } = asked;
    let text = '';
    let firstTokenMs = 0;
    let tokens = 0;
    let finish: FinishReason | undefined;
    let counts: TokenCounts | undefined;
    try {
      for await (const piece of this.#pieces(asked, features, fields)) {
        for (const event of piece.tokens) {
          if (tokens++ === 0) firstTokenMs = performance.now() - started;
          text += event.text;
          yield event;
        }
        finish = piece.finish ?? finish;
        counts = piece.counts ?? counts;
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
    if (!finish && !signal?.aborted)
      throw new ModelError('REMOTE_FAILED', `${this.#connection.host} broke off before the reply was complete`);
    yield {
      type: 'end',
      reason: signal?.aborted ? 'abort' : finish!,
      text,
      usage: {
        promptTokens: counts?.promptTokens ?? 0,
        cachedTokens: counts?.cachedTokens ?? 0,
        completionTokens: counts?.completionTokens ?? tokens,
        firstTokenMs,
        totalMs: performance.now() - started,
        // How long another machine computed, and for whom else meanwhile, cannot be seen from here.
        computeMs: 0,
      },
    };
  }

  /** The stream of either endpoint in one form. */
  async *#pieces(asked: Asked, features: ReadonlySet<Feature>, fields: Record<string, unknown>) {
    const { signal } = asked;
    // Its own for each try, because the client library leaves its listener behind.
    const options = { ...(signal && { signal: AbortSignal.any([signal]) }), ...(asked.stop && { stop: asked.stop }) };
    if (asked.prompt !== undefined) {
      const { sampling, maxTokens } = asked;
      const completion = new OpenAI({
        ...this.#client(),
        temperature: sampling.temperature,
        topP: sampling.topP,
        maxTokens,
        modelKwargs: {
          ...this.#dialect.extras(sampling, features),
          ...seedOf(sampling, features),
          ...fields,
          chat_template_kwargs: undefined,
        },
      });
      // `stream()` would pass on the text alone, without the reason why it ended.
      for await (const { text, generationInfo } of completion._streamResponseChunks(asked.prompt, options))
        yield {
          tokens: text ? [{ type: 'token' as const, token: NO_TOKEN, text, logprob: Number.NaN }] : [],
          finish: finishOf(generationInfo?.finishReason),
          counts: undefined,
        };
      return;
    }
    const chat = this.#chat(asked, features, { ...fields, ...seedOf(asked.sampling, features) });
    for await (const chunk of await chat.stream((asked.messages ?? []).map(toLangChain), options))
      yield {
        tokens: tokensOf(chunk),
        finish: finishOf(chunk.response_metadata.finish_reason),
        counts: countsOf(chunk),
      };
  }

  #chat(
    { sampling, maxTokens, topLogprobs }: Pick<Asked, 'sampling' | 'maxTokens' | 'topLogprobs'>,
    features: ReadonlySet<Feature>,
    fields: Record<string, unknown>,
  ): RemoteChat {
    return new RemoteChat({
      ...this.#client(),
      temperature: sampling.temperature,
      topP: sampling.topP,
      maxTokens,
      streamUsage: features.has('usage'),
      ...(features.has('logprobs') && { logprobs: true }),
      ...(features.has('logprobs') && topLogprobs && { topLogprobs }),
      modelKwargs: { ...this.#dialect.extras(sampling, features), ...fields },
    });
  }

  /** Said in full, so that nothing is taken from the environment: another program's key, organisation or address. */
  #client() {
    const { base, key, fetch } = this.#connection;
    return {
      model: this.#name,
      apiKey: key,
      maxRetries: 0,
      configuration: { baseURL: base, fetch, organization: null, project: null, logLevel: 'off' as const },
    };
  }
}

function seedOf({ seed }: Sampling, features: ReadonlySet<Feature>): { seed?: number } {
  return seed !== undefined && features.has('seed') ? { seed } : {};
}

function toLangChain({ role, content }: ChatMessage): BaseMessage {
  if (role === 'system') return new SystemMessage(content);
  return role === 'user' ? new HumanMessage(content) : new AIMessage(content);
}

function unit(row: Float32Array): Float32Array {
  const length = Math.hypot(...row);
  return length > 0 ? row.map((value) => value / length) : row;
}
