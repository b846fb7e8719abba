/**
 * The `cpu` engine alone, without host or server: decoding 1, 4, 16 and 30 sequences, prefilling, loading, and what a token
 * reads from memory. The engine is the shipped checkpoint's; medians, as measured under whatever else the machine does.
 */
import { availableParallelism } from 'node:os';
import { openCheckpoint } from '../../agent/model/checkpoint.ts';
import type { CheckpointConfig } from '../../agent/model/config.ts';
import { openCpuEngine } from '../../agent/model/engines/cpu/index.ts';
import { panelsBytes } from '../../agent/model/engines/cpu/layout.ts';
import { SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import { type Engine, PAGE_TOKENS } from '../../agent/model/types.ts';
import type { Row } from './main.ts';

const RUNS = 5;
const SEQUENCES = [1, 4, 16, 30];
const PROMPTS = [32, 256];
/** Tokens a sequence has when decoding begins, and how many steps are timed: a short chat. */
const PAST = 128;
const STEPS = 32;
const PAGES_EACH = Math.ceil((PAST + STEPS) / PAGE_TOKENS);

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Ids spread over the vocabulary, different in each step, so that routing varies as it does in talk. */
function tokensOf(count: number, vocabulary: number, salt: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => ((i + 1) * 7_919 + salt * 104_729) % vocabulary);
}

function batchOf(sequences: number, count: number, past: number, vocabulary: number, logits: boolean) {
  return {
    tokens: tokensOf(sequences * count, vocabulary, past),
    sequences: Array.from({ length: sequences }, (_, n) => ({
      start: n * count,
      count,
      past,
      pages: Int32Array.from({ length: Math.ceil((past + count) / PAGE_TOKENS) }, (__, i) => n * PAGES_EACH + i),
      logits,
    })),
  };
}

async function decodeRate(engine: Engine, sequences: number, vocabulary: number): Promise<number> {
  await engine.step(batchOf(sequences, PAST, 0, vocabulary, false));
  const started = performance.now();
  for (let step = 0; step < STEPS; step++) await engine.step(batchOf(sequences, 1, PAST + step, vocabulary, true));
  return (sequences * STEPS * 1000) / (performance.now() - started);
}

async function prefillRate(engine: Engine, count: number, vocabulary: number): Promise<number> {
  const started = performance.now();
  await engine.step(batchOf(1, count, 0, vocabulary, true));
  return (count * 1000) / (performance.now() - started);
}

/** Bytes one decoded token reads: all dense weights, its experts' weights, and the keys and values of its past. */
export function bytesPerToken(c: CheckpointConfig, past: number): number {
  const columns = c.heads * c.headDim;
  const attention = panelsBytes((c.heads + 2 * c.kvHeads) * c.headDim, c.hidden) + panelsBytes(c.hidden, columns);
  const expert = panelsBytes(2 * c.expertWidth, c.hidden) + panelsBytes(c.hidden, c.expertWidth);
  const router = 4 * c.experts * c.hidden;
  const kv = past * c.kvHeads * (4 * c.headDim + 8);
  return c.layers * (attention + router + c.expertsPerToken * expert + kv) + panelsBytes(c.vocabulary, c.hidden);
}

export async function* rows(): AsyncGenerator<Row> {
  const checkpoint = await openCheckpoint(SHIPPED_CHECKPOINT);
  const { vocabulary } = checkpoint.config;
  const bytes = bytesPerToken(checkpoint.config, PAST + STEPS / 2);
  const most = Math.max(...SEQUENCES) * PAGES_EACH;
  for (const threads of new Set([1, Math.min(2, availableParallelism())])) {
    const started = performance.now();
    const engine = await openCpuEngine(checkpoint, { threads, pages: most });
    const row = (name: string, unit: string, ours: number, runs: number): Row => ({ name, unit, ours, threads, runs });
    yield row('engine/load', 'ms', Math.round(performance.now() - started), 1);
    for (const sequences of SEQUENCES) {
      const rates: number[] = [];
      for (let run = 0; run < RUNS; run++) rates.push(await decodeRate(engine, sequences, vocabulary));
      const rate = median(rates);
      yield row(`engine/decode/${sequences}`, 'tok/s', Math.round(rate), RUNS);
      if (sequences === 1) yield row('engine/decode/1/read', 'GB/s', Number(((rate * bytes) / 1e9).toFixed(1)), RUNS);
    }
    for (const count of PROMPTS) {
      const rates: number[] = [];
      for (let run = 0; run < RUNS; run++) rates.push(await prefillRate(engine, count, vocabulary));
      yield row(`engine/prefill/${count}`, 'tok/s', Math.round(median(rates)), RUNS);
    }
    await engine.close();
  }
  yield { name: 'engine/bytes-per-token', unit: 'MB', ours: Number((bytes / 1e6).toFixed(2)) };
}
