/**
 * The model as its callers see it: a worker thread behind async iterators. Nothing here computes; the caller's event loop
 * only ever waits for messages. A worker that dies fails what it was doing and is replaced.
 */
import { Worker } from 'node:worker_threads';
import {
  type FinishReason,
  type GenerateEvent,
  type GenerateRequest,
  type Model,
  ModelError,
  type ModelInfo,
  type ModelOptions,
} from '../types.ts';
import { type FromWorker, fromWire, type ToWorker, type WorkerEvent, type WorkerOptions } from './messages.ts';

/**
 * A worker loads plain JavaScript only. Sources run as TypeScript under the test runner, so from there the compiled
 * worker is used; it is the same code one build later.
 */
const WORKER = import.meta.url.endsWith('.ts')
  ? new URL('../../../dist/agent/model/host/worker.js', import.meta.url)
  : new URL('./worker.js', import.meta.url);

/** Someone waiting for the worker: a reply in progress or an embedding. */
interface Pending {
  event?: (event: WorkerEvent) => void;
  rows?: (rows: Float32Array[]) => void;
  fail: (error: ModelError) => void;
}

export class HostedModel implements Model {
  readonly #options: WorkerOptions;
  readonly #log: NonNullable<ModelOptions['log']>;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker;
  #ready: Promise<ModelInfo>;
  #info: ModelInfo | undefined;
  #state: 'open' | 'broken' | 'closed' = 'open';
  #nextId = 1;

  private constructor(options: WorkerOptions, log: NonNullable<ModelOptions['log']>) {
    this.#options = options;
    this.#log = log;
    [this.#worker, this.#ready] = this.#start();
  }

  static async open(options: WorkerOptions, log: NonNullable<ModelOptions['log']>): Promise<HostedModel> {
    const model = new HostedModel(options, log);
    await model.#ready;
    return model;
  }

  get info(): ModelInfo {
    return this.#info!;
  }

  async *generate({ signal, ...request }: GenerateRequest): AsyncGenerator<GenerateEvent, void, undefined> {
    const called = performance.now();
    let firstTokenMs = 0;
    const id = this.#nextId++;
    const arrived: (WorkerEvent | ModelError)[] = [];
    let wake = () => {};
    const receive = (item: WorkerEvent | ModelError) => {
      arrived.push(item);
      wake();
    };
    const abort = () => this.#send({ type: 'abort', id });
    if (signal?.aborted) {
      yield unspoken();
      return;
    }
    await this.#running();
    if (signal?.aborted) {
      yield unspoken();
      return;
    }
    this.#pending.set(id, { event: receive, fail: receive });
    signal?.addEventListener('abort', abort, { once: true });
    this.#send({ type: 'generate', id, request });
    try {
      for (;;) {
        const item = arrived.shift();
        if (item === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        } else if (item instanceof ModelError) {
          throw item;
        } else if (item.type === 'token') {
          firstTokenMs ||= performance.now() - called;
          yield item;
        } else {
          yield { ...item, usage: { ...item.usage, firstTokenMs, totalMs: performance.now() - called } };
          return;
        }
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      // The consumer left early: nobody will read the rest.
      if (this.#pending.delete(id)) abort();
    }
  }

  async embed(texts: string[]): Promise<Float32Array[]> {
    await this.#running();
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { rows: resolve, fail: reject });
      this.#send({ type: 'embed', id, texts });
    });
  }

  async close(): Promise<void> {
    if (this.#state !== 'open') {
      this.#state = 'closed';
      return;
    }
    this.#state = 'closed';
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#send({ type: 'close' });
    await exited;
    this.#failAll(new ModelError('ENGINE_CRASHED', 'the model was closed'));
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** Resolves once a worker can take requests; starts one where the last could not be replaced. */
  async #running(): Promise<void> {
    if (this.#state === 'closed') throw new ModelError('ENGINE_CRASHED', 'the model was closed');
    if (this.#state === 'broken') this.#restart();
    await this.#ready;
  }

  #restart(): void {
    this.#state = 'open';
    [this.#worker, this.#ready] = this.#start();
    // Whoever asks next hears of a failure; nobody may be asking now.
    this.#ready.catch(() => {});
  }

  #start(): [Worker, Promise<ModelInfo>] {
    const worker = new Worker(WORKER, { workerData: this.#options, execArgv: [], name: 'model' });
    const ready = new Promise<ModelInfo>((resolve, reject) => {
      let started = false;
      let reason: unknown;
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          started = true;
          this.#info = message.info;
          resolve(message.info);
        } else if (message.type === 'failed') {
          reason = fromWire(message.error);
          void worker.terminate();
        } else {
          this.#receive(message);
        }
      });
      worker.on('error', (cause) => {
        reason = cause;
      });
      worker.on('exit', (code) => {
        const error =
          reason instanceof ModelError
            ? reason
            : new ModelError('ENGINE_CRASHED', `the model's thread ended (code ${code}): ${reason ?? 'no reason'}`, {
                cause: reason,
              });
        if (this.#state !== 'closed') this.#lost(error, started);
        reject(error);
      });
    });
    return [worker, ready];
  }

  /** A worker that had started is replaced at once; one that could not start is tried again when somebody asks. */
  #lost(error: ModelError, started: boolean): void {
    this.#failAll(error);
    if (!started) {
      this.#state = 'broken';
      return;
    }
    this.#log('error', `model worker lost, starting another: ${error.message}`);
    this.#restart();
  }

  #failAll(error: ModelError): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { fail } of pending) fail(error);
  }

  #receive(message: Exclude<FromWorker, { type: 'ready' | 'failed' }>): void {
    switch (message.type) {
      case 'replies':
        for (const reply of message.replies) {
          if ('error' in reply) this.#settle(reply.id)?.fail(fromWire(reply.error));
          else if (reply.event.type === 'end') this.#settle(reply.id)?.event?.(reply.event);
          else this.#pending.get(reply.id)?.event?.(reply.event);
        }
        break;
      case 'embedded':
        this.#settle(message.id)?.rows?.(message.rows);
        break;
      case 'refused':
        this.#settle(message.id)?.fail(fromWire(message.error));
        break;
      case 'log':
        this.#log(message.level, message.message, message.fields);
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}

/** The end of a reply that was aborted before it was asked for. */
function unspoken(): GenerateEvent {
  const reason: FinishReason = 'abort';
  const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, firstTokenMs: 0, totalMs: 0, computeMs: 0 };
  return { type: 'end', reason, text: '', usage };
}
