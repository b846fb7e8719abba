/**
 * The worker thread's entry: opens checkpoint, tokenizer and engine, then runs the scheduler on what the caller's thread
 * sends. An engine that breaks takes this thread down with it; the caller's side starts a fresh one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { openCheckpoint } from '../checkpoint.ts';
import type { CheckpointConfig } from '../config.ts';
import { openEngine } from '../engines/index.ts';
import { openRetrievalHead } from '../retrieval.ts';
import { openTokenizer } from '../tokenizer.ts';
import { type Engine, PAGE_TOKENS } from '../types.ts';
import { type FromWorker, type ToWorker, toWire, type WorkerOptions } from './messages.ts';
import { Outbox } from './outbox.ts';
import { Scheduler } from './scheduler.ts';

/** Memory for keys and values, bytes. 32,768 tokens of the smallest checkpoint: a class of 30 with room for a prompt cache. */
const KV_BYTES = 192 << 20;
/** Whatever the checkpoint's size, at least this many full contexts fit. */
const MIN_CONTEXTS = 4;

const port = parentPort;
if (!port) throw new Error('this file is the entry of a worker thread');
const send = (message: FromWorker) => port.postMessage(message);
/** Thrown outside any handler, so that the thread ends and its owner hears why. */
const crash = (cause: unknown) =>
  setImmediate(() => {
    throw cause;
  });

function pagesFor({ layers, kvHeads, headDim, context }: CheckpointConfig): number {
  const pageBytes = 2 * layers * kvHeads * headDim * PAGE_TOKENS * Float32Array.BYTES_PER_ELEMENT;
  return Math.max(Math.floor(KV_BYTES / pageBytes), Math.ceil((MIN_CONTEXTS * context) / PAGE_TOKENS));
}

async function open({ checkpoint: directory, engine: choice, threads }: WorkerOptions): Promise<[Scheduler, Engine]> {
  const began = performance.now();
  const checkpoint = await openCheckpoint(directory);
  const { config, sha256, parameters, activeParameters } = checkpoint;
  const tokenizer = await openTokenizer(directory, config.vocabulary);
  const head = await openRetrievalHead(directory, config.hidden);
  const engine = await openEngine(choice, checkpoint, {
    threads,
    pages: pagesFor(config),
    log: (level, message, fields = {}) => send({ type: 'log', level, message, fields }),
  });
  const { name, version, context, vocabulary, layers, experts, expertsPerToken } = config;
  const outbox = new Outbox((events) =>
    send({
      type: 'replies',
      replies: events.map((event) => ('error' in event ? { id: event.id, error: toWire(event.error) } : event)),
    }),
  );
  const scheduler = new Scheduler({
    engine,
    tokenizer,
    config,
    head,
    crash,
    emit: (events) => outbox.push(events),
  });
  send({
    type: 'ready',
    info: {
      checkpoint: {
        name,
        version,
        directory,
        sha256,
        parameters,
        activeParameters,
        context,
        vocabulary,
        layers,
        experts,
        expertsPerToken,
      },
      engine: engine.info,
      loadMs: performance.now() - began,
    },
  });
  return [scheduler, engine];
}

try {
  const [scheduler, engine] = await open(workerData as WorkerOptions);
  port.on('message', async (message: ToWorker) => {
    switch (message.type) {
      case 'generate':
        try {
          scheduler.submit(message.id, message.request);
        } catch (error) {
          send({ type: 'refused', id: message.id, error: toWire(error) });
        }
        break;
      case 'abort':
        scheduler.abort(message.id);
        break;
      case 'embed':
        try {
          send({ type: 'embedded', id: message.id, rows: await scheduler.embed(message.texts) });
        } catch (error) {
          send({ type: 'refused', id: message.id, error: toWire(error) });
        }
        break;
      case 'close':
        await engine.close();
        process.exit(0);
    }
  });
} catch (error) {
  send({ type: 'failed', error: toWire(error) });
}
