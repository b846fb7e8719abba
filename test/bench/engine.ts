/**
 * The `cpu` engine alone, without a peer: one thread beside several, loading, what a token reads from memory, and what the
 * engine holds in it.
 */
import { availableParallelism } from 'node:os';
import { openCheckpoint } from '../../agent/model/checkpoint.ts';
import type { CheckpointConfig } from '../../agent/model/config.ts';
import { openCpuEngine } from '../../agent/model/engines/cpu/index.ts';
import { panelsBytes, planLayout } from '../../agent/model/engines/cpu/layout.ts';
import { SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import type { Row } from './main.ts';
import { median, rounded } from './samples.ts';
import { decodeRate, ENGINE_PAGES, PAST, prefillRate, SEQUENCES, STEPS } from './speed.ts';

const RUNS = 5;
const PREFILL = 256;

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
  const { config } = checkpoint;
  const bytes = bytesPerToken(config, PAST + STEPS / 2);
  const mebibytes = (n: number) => rounded(n / 2 ** 20);
  for (const threads of new Set([1, Math.min(2, availableParallelism())])) {
    const before = process.memoryUsage.rss();
    const started = performance.now();
    const engine = await openCpuEngine(checkpoint, { threads, pages: ENGINE_PAGES });
    const row = (name: string, unit: string, ours: number, runs = RUNS): Row => ({ name, unit, ours, threads, runs });
    yield row('engine/load', 'ms', rounded(performance.now() - started), 1);
    for (const sequences of SEQUENCES) {
      const rates: number[] = [];
      for (let run = 0; run < RUNS; run++) rates.push(await decodeRate(engine, sequences, config.vocabulary));
      yield row(`engine/decode/${sequences}`, 'tok/s', rounded(median(rates)));
      if (sequences === 1) yield row('engine/read', 'GB/s', rounded((median(rates) * bytes) / 1e9));
    }
    const rates: number[] = [];
    for (let run = 0; run < RUNS; run++) rates.push(await prefillRate(engine, PREFILL, config.vocabulary));
    yield row(`engine/prefill/${PREFILL}`, 'tok/s', rounded(median(rates)));
    yield {
      ...row('memory/engine', 'MiB', mebibytes(process.memoryUsage.rss() - before), 1),
      note: 'growth of the process',
    };
    await engine.close();
  }
  const layout = planLayout(config, ENGINE_PAGES, 1);
  const { embedding, cosine } = layout.globals[0] as { embedding: number; cosine: number };
  yield { name: 'engine/bytes-per-token', unit: 'MB', ours: rounded(bytes / 1e6) };
  yield { name: 'memory/weights', unit: 'MiB', ours: mebibytes(cosine - embedding), note: 'in shared memory' };
  const note = `${ENGINE_PAGES} pages of 16 tokens`;
  yield { name: 'memory/kv', unit: 'MiB', ours: mebibytes(layout.kvBytes), note };
}
