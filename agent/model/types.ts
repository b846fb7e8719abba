/**
 * The model's vocabulary of types: what a caller asks for, what comes back, and the one interface every engine keeps.
 * Nothing here knows of students, sockets or databases.
 */

export type EngineName = 'cpu' | 'tensorflow' | 'webgpu' | 'wasm' | 'remote';
export type EngineChoice = 'auto' | EngineName;

export interface ModelOptions {
  /** A directory in Hugging Face form (config.json, tokenizer.json, *.safetensors). */
  checkpoint: string;
  engine: EngineChoice;
  /** Threads the `cpu` engine may use. */
  threads?: number;
  /** The OpenAI-compatible server that thinks when `engine` is `remote`. */
  remote?: RemoteOptions;
  log?: (level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>) => void;
}

/** `model` absent: the first one the server lists. */
export interface RemoteOptions {
  url: string;
  model?: string;
  key?: string;
}

export interface ModelInfo {
  checkpoint: {
    name: string;
    version: string;
    directory: string;
    /** SHA-256 of model.safetensors, hex: which weights said this. */
    sha256: string;
    parameters: number;
    activeParameters: number;
    context: number;
    vocabulary: number;
    layers: number;
    experts: number;
    expertsPerToken: number;
  };
  engine: EngineInfo;
  loadMs: number;
}

export interface EngineInfo {
  name: EngineName;
  /** What really computes, in words, for example `wasm (1 thread, SIMD, fp32)`. */
  device: string;
  /** True only when a real GPU does the work; software adapters and CPU fallbacks are not GPUs. */
  gpu: boolean;
  threads: number;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface Sampling {
  /** 0 is greedy. */
  temperature: number;
  /** 0 switches the cut off. */
  topK: number;
  topP: number;
  minP: number;
  /** 1 is none. Applied to tokens of the reply so far. */
  repetitionPenalty: number;
  /** The same seed, prompt and checkpoint give the same reply on the same engine. */
  seed?: number;
}

/**
 * What the reply must look like, enforced while decoding. Positions count characters, not tokens; every common Han
 * character is one token.
 */
export type Constraint = SlotsConstraint | JsonConstraint;
export interface SlotsConstraint {
  kind: 'slots';
  /** One entry a character; after the last one the reply ends. */
  slots: Slot[];
}
/** The reply is one JSON text that is valid under the schema. Keywords that cannot be kept are refused, never ignored. */
export interface JsonConstraint {
  kind: 'json';
  /** A JSON Schema object; absent: any JSON object. */
  schema?: Record<string, unknown>;
}
export interface Slot {
  /** Characters allowed here; absent: any Han character. */
  allow?: string;
  /** Characters not allowed here. */
  deny?: string;
  /** Must repeat the character chosen at this earlier slot. */
  same?: number;
  /** Must differ from the characters chosen at these earlier slots. */
  differ?: number[];
}

/** What is continued: a conversation, rendered by the checkpoint's chat template, or a raw text (ChatML marks are tokens). */
export type Prompt = { messages: ChatMessage[] } | { prompt: string };

export type GenerateRequest = Prompt & GenerateOptions;
export interface GenerateOptions {
  maxTokens: number;
  sampling: Sampling;
  /** The reply ends before the first of these strings. */
  stop?: string[];
  constraint?: Constraint;
  /** How many of the likeliest tokens each token event lists, 0–20. */
  topLogprobs?: number;
  /** Whose request this is: waiting requests are served in turn by person, not by arrival. Absent: all share one turn. */
  person?: string;
  signal?: AbortSignal;
}

/** A token the model could have said, with the natural log of its own probability. */
export interface Alternative {
  token: number;
  text: string;
  logprob: number;
}

export type FinishReason = 'stop' | 'length' | 'abort';

export interface GenerationUsage {
  promptTokens: number;
  /** Of those, taken from the prefix cache. */
  cachedTokens: number;
  completionTokens: number;
  /** From the call to the first token, milliseconds, queueing included. */
  firstTokenMs: number;
  totalMs: number;
  /** Time the engine spent computing for this reply; its share when a step serves several. */
  computeMs: number;
}

export type GenerateEvent =
  /** `text` is what the reply grew by; `top`, when asked for, is likeliest first. */
  | { type: 'token'; token: number; text: string; logprob: number; top?: Alternative[] }
  | { type: 'end'; reason: FinishReason; text: string; usage: GenerationUsage };

/** A loaded model. It runs in a worker thread; the caller's event loop never waits for it. */
export interface Model {
  readonly info: ModelInfo;
  /** Streams tokens, then one `end`. Throws `ModelError`; an aborted signal ends with reason `abort`. */
  generate(request: GenerateRequest): AsyncGenerator<GenerateEvent, void, undefined>;
  /** Mean-pooled hidden states through the checkpoint's retrieval head if it has one, normalised: one row a text. */
  embed(texts: string[]): Promise<Float32Array[]>;
  close(): Promise<void>;
}

// ───────────────────────────── inside the worker: engines ─────────────────────────────

/** Tokens per KV page, as in vLLM. */
export const PAGE_TOKENS = 16;

/** One forward pass over a ragged batch: the rows of all sequences, one after another. */
export interface Batch {
  /** Token ids, [T]. */
  tokens: Int32Array;
  sequences: BatchSequence[];
}
export interface BatchSequence {
  /** First row of this sequence in `tokens`, and how many rows it has in this step. */
  start: number;
  count: number;
  /** Tokens already in its KV pages; row r of this sequence sits at position `past + r`. */
  past: number;
  /** Its KV pages in order, enough for `past + count` tokens. The engine writes keys and values into them. */
  pages: Int32Array;
  /** Whether the logits of its last row are wanted (false while a prompt is prefilled in chunks). */
  logits: boolean;
}

/** What computes. Lives inside the host's worker thread. Pages belong to the host; the engine only reads and writes them. */
export interface Engine {
  readonly info: EngineInfo;
  /** KV pages the engine has room for. */
  readonly pages: number;
  /** Logits [sequences with `logits`, vocabulary] in one buffer, valid until the next call. */
  step(batch: Batch): Promise<Float32Array>;
  /** log Σ eˣ of each row of the last step's logits, from engines that compute it on the way; NaN for a row with NaN in it. */
  logSumExp?(): Float64Array;
  /** Mean of the final-norm hidden states over the tokens, [hidden]. Uses no KV pages. */
  embed(tokens: Int32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

export type ModelErrorCode =
  | 'CHECKPOINT_MISSING'
  | 'CHECKPOINT_BROKEN'
  | 'CHECKPOINT_UNSUPPORTED'
  | 'ENGINE_UNAVAILABLE'
  | 'ENGINE_CRASHED'
  | 'CONTEXT_TOO_LONG'
  | 'CONSTRAINT_IMPOSSIBLE'
  | 'CONSTRAINT_UNSUPPORTED'
  | 'TOKEN_OUT_OF_RANGE'
  | 'REMOTE_FAILED'
  | 'PICTURE_UNREADABLE'
  | 'PICTURE_TOO_LARGE'
  | 'EXPORT_EXISTS'
  | 'EXPORT_FAILED'
  | 'BUSY';

/** Every error this layer throws on purpose. `message` is for engineers; the server words it for people by `code`. */
export class ModelError extends Error {
  readonly code: ModelErrorCode;
  readonly retryAfterMs: number | undefined;
  constructor(code: ModelErrorCode, message: string, options?: { cause?: unknown; retryAfterMs?: number }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ModelError';
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs;
  }
}
