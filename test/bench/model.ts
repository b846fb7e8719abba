/**
 * The model runtime measured through its public face: decode and prefill rates, time to the first token with a cold and a
 * warm prefix, memory. Engines take turns within a run, so that a busy machine slows all of them alike; rows are medians.
 */

import type { ChatMessage, EngineName, GenerateRequest, Model } from '../../agent/model/index.ts';
import { openModel, SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import type { Row } from './main.ts';
import { median, rounded } from './samples.ts';

const ENGINES: EngineName[] = ['tensorflow', 'cpu', 'wasm'];
const RUNS = 5;
/** Replies at once. 30 is a class. */
const BATCHES = [1, 4, 16, 30];
/** Long enough that the prompt's share does not blur the rate. */
const DECODE_TOKENS = 64;
const PROMPT = '春天来了，小草从地里探出头来，桃花开了，燕子也从南方飞回来了。';
/** Repetitions of PROMPT that make a long prompt, about 500 tokens. */
const LONG = 15;

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
/** Forces replies of an exact length: a checkpoint that likes to stop early would otherwise measure its own taste. */
const slots = (count: number) => ({ kind: 'slots' as const, slots: Array.from({ length: count }, () => ({})) });

function request(content: string, tokens: number): GenerateRequest {
  const messages: ChatMessage[] = [
    { role: 'system', content: '小禾 6岁' },
    { role: 'user', content },
  ];
  return { messages, maxTokens: tokens, sampling: GREEDY, constraint: slots(tokens) };
}

async function timed(model: Model, content: string, tokens: number) {
  const began = performance.now();
  for await (const event of model.generate(request(content, tokens)))
    if (event.type === 'end') return { ...event.usage, ended: performance.now(), began };
  throw new Error('the model ended without an end');
}

/** Tokens a second over all replies, from the last first token to the first end: while all of them decode together. */
async function decode(model: Model, batch: number, run: number): Promise<number> {
  const replies = await Promise.all(
    Array.from({ length: batch }, (_, i) => timed(model, `第${run}次，第${i}个：${PROMPT}`, DECODE_TOKENS)),
  );
  const from = Math.max(...replies.map((reply) => reply.began + reply.firstTokenMs));
  const to = Math.min(...replies.map((reply) => reply.ended));
  return (batch * (DECODE_TOKENS - 1) * 1_000) / Math.max(to - from, 1);
}

let unique = 0;
/** A long prompt nobody has cached: it differs in its first words. */
const fresh = () => `${++unique}号。${PROMPT.repeat(LONG)}`;

interface Samples {
  unit: string;
  values: number[];
}

async function measure(model: Model, samples: Map<string, Samples>, run: number): Promise<void> {
  const { name, threads } = model.info.engine;
  const note = (what: string, unit: string, value: number) => {
    const key = `${what.replace('*', name)}|${threads}`;
    const row = samples.get(key) ?? { unit, values: [] };
    row.values.push(value);
    samples.set(key, row);
  };
  // speed.ts measures the `cpu` engine's rates, beside a peer.
  if (name !== 'cpu') for (const batch of BATCHES) note(`decode/*/${batch}`, 'tok/s', await decode(model, batch, run));
  const content = fresh();
  const cold = await timed(model, content, 1);
  if (name !== 'cpu') note('prefill/*', 'tok/s', (cold.promptTokens * 1_000) / cold.firstTokenMs);
  note('first-token/*/cold-500', 'ms', cold.firstTokenMs);
  const warm = await timed(model, `${content}再说一遍`, 1);
  note('first-token/*/warm-500', 'ms', warm.firstTokenMs);
  const class30 = await Promise.all(
    Array.from({ length: 30 }, (_, i) => timed(model, `我是${run}班${i}号，你好！`, 16)),
  );
  note('first-token/*/slowest-of-30', 'ms', Math.max(...class30.map((reply) => reply.firstTokenMs)));
}

/** Rows as `main.ts` prints them; engines that do not open here are left out. */
export async function* rows(): AsyncGenerator<Row> {
  const models: Model[] = [];
  for (const engine of ENGINES) {
    const before = process.memoryUsage.rss();
    const model = await openModel({ checkpoint: SHIPPED_CHECKPOINT, engine }).catch(() => undefined);
    if (!model) continue;
    models.push(model);
    await timed(model, PROMPT, DECODE_TOKENS);
    const threads = model.info.engine.threads;
    yield { name: `start/load/${engine}`, unit: 'ms', ours: Math.round(model.info.loadMs), threads, runs: 1 };
    const mebibytes = Math.round((process.memoryUsage.rss() - before) / 2 ** 20);
    yield {
      name: `memory/loaded/${engine}`,
      unit: 'MiB',
      ours: mebibytes,
      threads,
      runs: 1,
      note: 'growth of the process',
    };
  }
  const samples = new Map<string, Samples>();
  for (let run = 0; run < RUNS; run++) for (const model of models) await measure(model, samples, run);
  for (const [key, { unit, values }] of samples) {
    const [name, threads] = key.split('|') as [string, string];
    yield { name, unit, ours: rounded(median(values)), threads: Number(threads), runs: values.length };
  }
  yield {
    name: 'memory/peak',
    unit: 'MiB',
    ours: Math.round(process.resourceUsage().maxRSS / 1024),
    note: 'all engines open',
  };
  for (const model of models) await model.close();
}
