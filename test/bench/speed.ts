/**
 * Decoding and prefilling, side by side with llama.cpp on the same weights (our GGUF export, Q8_0), with as many threads:
 *   cpu/…     what a caller gets: our host with its batching, sampling and messages, beside node-llama-cpp's own batching
 *   engine/…  the bare loop: our engine's step and a greedy choice, beside llama.cpp's llama_decode and a greedy choice
 * All four take turns within a run, so that a busy machine slows them alike. Before anything is timed, both peers continue
 * a few texts greedily: a row's note says whether they said the same as we.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../agent/model/checkpoint.ts';
import type { CheckpointConfig } from '../../agent/model/config.ts';
import { openCpuEngine } from '../../agent/model/engines/cpu/index.ts';
import { exportGguf } from '../../agent/model/export/index.ts';
import { type Model, openModel, SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import { openTokenizer, type Tokenizer } from '../../agent/model/tokenizer.ts';
import { type Engine, PAGE_TOKENS } from '../../agent/model/types.ts';
import type { BenchOptions, Row } from './main.ts';
import { type Opened, openLoopPeer, openNodePeer } from './peers.ts';
import { compared } from './samples.ts';

const RUNS = 7;
export const SEQUENCES = [1, 4, 16, 30];
const PREFILL = [32, 256];
/** Tokens a sequence has when decoding begins, and how many steps are timed: a short chat. */
export const PAST = 128;
export const STEPS = 32;
/** Tokens of one timed reply through the host. */
const REPLY = 64;
/** Room for a sequence on either side. */
const CONTEXT = 512;
const PAGES_EACH = CONTEXT / PAGE_TOKENS;
/** KV pages for all sequences. */
export const ENGINE_PAGES = Math.max(...SEQUENCES) * PAGES_EACH;
/** Questions answered greedily by all before timing, up to so many tokens. */
const QUESTIONS = ['你好', '你叫什么名字？', '春天有什么？', '1加1等于几？', 'What is your name?'];
const AGREEMENT = 48;
/** A row that takes longer stops early: on a busy machine a peer whose threads spin at their barriers takes minutes. */
const ROW_SECONDS = 30;
const STORY = '春天来了，小草从地里探出头来，桃花开了，燕子也从南方飞回来了。';
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

/** Ids all over the vocabulary, different in each sequence and step, so that routing varies as it does in talk. */
export function spread(count: number, vocabulary: number, salt: number): number[] {
  return Array.from({ length: count }, (_, i) => ((i + 1) * 7_919 + salt * 104_729) % vocabulary);
}

export function argmax(logits: Float32Array, from: number, count: number): number {
  let best = from;
  for (let i = from + 1; i < from + count; i++) if (logits[i]! > logits[best]!) best = i;
  return best - from;
}

function batchOf(tokens: number[], sequences: number, past: number, logits: boolean) {
  const count = tokens.length / sequences;
  const pages = (n: number) =>
    Int32Array.from({ length: Math.ceil((past + count) / PAGE_TOKENS) }, (_, i) => n * PAGES_EACH + i);
  return {
    tokens: Int32Array.from(tokens),
    sequences: Array.from({ length: sequences }, (_, n) => ({
      start: n * count,
      count,
      past,
      pages: pages(n),
      logits,
    })),
  };
}

/** Tokens a second of the bare loop. */
export async function decodeRate(engine: Engine, sequences: number, vocabulary: number): Promise<number> {
  const prompts = Array.from({ length: sequences }, (_, n) => spread(PAST, vocabulary, n)).flat();
  await engine.step(batchOf(prompts, sequences, 0, false));
  let ids = spread(sequences, vocabulary, 0);
  const started = performance.now();
  for (let step = 0; step < STEPS; step++) {
    const logits = await engine.step(batchOf(ids, sequences, PAST + step, true));
    ids = ids.map((_, n) => (argmax(logits, n * vocabulary, vocabulary) + n * 7_919) % vocabulary);
  }
  return (sequences * STEPS * 1_000) / (performance.now() - started);
}

export async function prefillRate(engine: Engine, count: number, vocabulary: number): Promise<number> {
  const started = performance.now();
  const logits = await engine.step(batchOf(spread(count, vocabulary, 0), 1, 0, true));
  argmax(logits, 0, vocabulary);
  return (count * 1_000) / (performance.now() - started);
}

interface Spoken {
  prompt: number[];
  said: number[];
}

/** Our greedy reply with its end token, if it comes to one: what follows that is nobody's text. */
async function speak(engine: Engine, prompt: number[], { vocabulary, endTokens }: CheckpointConfig): Promise<Spoken> {
  const said: number[] = [];
  let next = prompt;
  let past = 0;
  while (said.length < AGREEMENT && !endTokens.includes(said.at(-1) ?? -1)) {
    const logits = await engine.step(batchOf(next, 1, past, true));
    past += next.length;
    next = [argmax(logits, 0, vocabulary)];
    said.push(next[0]!);
  }
  return { prompt, said };
}

/** How far a peer says the same as we: near-ties may part two correct engines, since llama.cpp rounds activations to 8 bits. */
async function agreement(opened: Opened, texts: Spoken[]): Promise<string> {
  if ('missing' in opened) return opened.missing;
  const partings: string[] = [];
  for (const { prompt, said } of texts) {
    const theirs = (await opened.peer.ask({ do: 'greedy', tokens: prompt, count: said.length })).tokens as number[];
    const parted = said.findIndex((token, i) => token !== theirs[i]);
    if (parted >= 0) partings.push(`${parted + 1} of ${said.length}`);
  }
  const rest = partings.length > 0 ? `; parted at token ${partings.join(', ')}` : '';
  return `same greedy reply ${texts.length - partings.length} of ${texts.length} times${rest}`;
}

/** Continuations that the model itself makes long enough: no constraint has to force it, and no end token cuts a run short. */
async function longTalk(model: Model, count: number): Promise<string[]> {
  const found: string[] = [];
  for (let n = 0; found.length < count && n < 4 * count; n += 16) {
    const prompts = Array.from({ length: 16 }, (_, i) => `${n + i + 1}、${STORY}`);
    const kept = await Promise.all(
      prompts.map(async (prompt) => ((await reply(model, prompt, REPLY)).reason === 'length' ? [prompt] : [])),
    );
    found.push(...kept.flat());
  }
  if (found.length === 0) throw new Error(`no text that the model continues for ${REPLY} tokens`);
  return Array.from({ length: count }, (_, i) => found[i % found.length]!);
}

async function reply(model: Model, prompt: string, maxTokens: number) {
  const began = performance.now();
  for await (const event of model.generate({ prompt, maxTokens, sampling: GREEDY }))
    if (event.type === 'end') {
      const { firstTokenMs, promptTokens } = event.usage;
      return { reason: event.reason, first: began + firstTokenMs, last: performance.now(), firstTokenMs, promptTokens };
    }
  throw new Error('the model ended without an end');
}

async function hostDecodeRate(model: Model, prompts: string[]): Promise<number> {
  const replies = await Promise.all(prompts.map((prompt) => reply(model, prompt, REPLY)));
  const from = Math.max(...replies.map(({ first }) => first));
  const to = Math.min(...replies.map(({ last }) => last));
  return (prompts.length * (REPLY - 1) * 1_000) / Math.max(to - from, 1);
}

interface Sides {
  engine: Engine;
  model: Model;
  loop: Opened;
  node: Opened;
  tokenizer: Tokenizer;
  vocabulary: number;
  threads: number;
  notes: { loop: string; node: string };
}

type Measure = () => Promise<number | undefined>;

/** Takes turns for RUNS runs, the side that begins changing with each, after one run that nobody counts. */
async function row(head: Omit<Row, 'ours' | 'runs'>, ours: Measure, theirs: Measure): Promise<Row> {
  const values: [number[], number[]] = [[], []];
  const until = performance.now() + 1_000 * ROW_SECONDS;
  let { note } = head;
  for (let run = -1; run < RUNS && (run < 1 || performance.now() < until); run++) {
    for (const side of run % 2 === 0 ? [0, 1] : [1, 0]) {
      const value = await (side === 0
        ? ours()
        : theirs().catch((error: Error) => {
            note = error.message;
            return undefined;
          }));
      if (run >= 0 && value !== undefined) values[side]!.push(value);
    }
  }
  return compared({ ...head, ...(note && { note }) }, values[0], values[1]);
}

async function* decodeRows(sides: Sides): AsyncGenerator<Row> {
  const { engine, model, loop, node, tokenizer, vocabulary, threads, notes } = sides;
  const prompts = await longTalk(model, Math.max(...SEQUENCES));
  const ids = prompts.map((prompt) => tokenizer.encode(prompt));
  for (const sequences of SEQUENCES) {
    yield await row(
      { name: `decode/cpu/${sequences}`, unit: 'tok/s', threads, peer: 'node-llama-cpp', note: notes.node },
      () => hostDecodeRate(model, prompts.slice(0, sequences)),
      async () => {
        if ('missing' in node) return undefined;
        return Number((await node.peer.ask({ do: 'decode', prompts: ids.slice(0, sequences), count: REPLY })).rate);
      },
    );
    yield await row(
      { name: `decode/engine/${sequences}`, unit: 'tok/s', threads, peer: 'llama.cpp C loop', note: notes.loop },
      () => decodeRate(engine, sequences, vocabulary),
      async () => {
        if ('missing' in loop) return undefined;
        const { seconds } = await loop.peer.ask({ do: 'decode', sequences, past: PAST, steps: STEPS });
        return (sequences * STEPS) / Number(seconds);
      },
    );
  }
}

let unique = 0;
/** A text of about `tokens` tokens that no cache knows: it differs in its first words. */
const freshText = (tokens: number) => `${++unique}号同学写：${STORY.repeat(tokens / STORY.length)}`;

async function* prefillRows(sides: Sides): AsyncGenerator<Row> {
  const { engine, model, loop, node, tokenizer, vocabulary, threads, notes } = sides;
  for (const count of PREFILL) {
    yield await row(
      { name: `prefill/cpu/${count}`, unit: 'tok/s', threads, peer: 'node-llama-cpp', note: notes.node },
      async () => {
        const { promptTokens, firstTokenMs } = await reply(model, freshText(count), 1);
        return (promptTokens * 1_000) / firstTokenMs;
      },
      async () => {
        if ('missing' in node) return undefined;
        const tokens = tokenizer.encode(freshText(count));
        return tokens.length / Number((await node.peer.ask({ do: 'prefill', tokens })).seconds);
      },
    );
    yield await row(
      { name: `prefill/engine/${count}`, unit: 'tok/s', threads, peer: 'llama.cpp C loop', note: notes.loop },
      () => prefillRate(engine, count, vocabulary),
      async () => {
        if ('missing' in loop) return undefined;
        return count / Number((await loop.peer.ask({ do: 'prefill', count })).seconds);
      },
    );
  }
}

async function openSides(checkpoint: Checkpoint, gguf: string, threads: number, python?: string): Promise<Sides> {
  const { vocabulary } = checkpoint.config;
  const most = Math.max(...SEQUENCES);
  const request = { gguf, threads, sequences: most, context: CONTEXT };
  const node = await openNodePeer(request);
  const loop = await openLoopPeer(request, python);
  const engine = await openCpuEngine(checkpoint, { threads, pages: ENGINE_PAGES });
  const model = await openModel({ checkpoint: SHIPPED_CHECKPOINT, engine: 'cpu', threads });
  const tokenizer = await openTokenizer(SHIPPED_CHECKPOINT, vocabulary);
  const texts: Spoken[] = [];
  for (const content of QUESTIONS)
    texts.push(await speak(engine, tokenizer.renderChat([{ role: 'user', content }]), checkpoint.config));
  const notes = { node: await agreement(node, texts), loop: await agreement(loop, texts) };
  return { engine, model, loop, node, tokenizer, vocabulary, threads, notes };
}

export async function* rows({ only = '', python, ...options }: BenchOptions): AsyncGenerator<Row> {
  const threads = options.threads ?? Math.min(2, availableParallelism());
  const folder = await mkdtemp(join(tmpdir(), 'xiaohe-bench-'));
  try {
    const checkpoint = await openCheckpoint(SHIPPED_CHECKPOINT);
    const gguf = join(folder, 'model.gguf');
    await exportGguf(checkpoint, gguf);
    const sides = await openSides(checkpoint, gguf, threads, python);
    if (!only.startsWith('prefill')) yield* decodeRows(sides);
    if (!only.startsWith('decode')) yield* prefillRows(sides);
    for (const opened of [sides.node, sides.loop]) if ('peer' in opened) opened.peer.close();
    await sides.model.close();
    await sides.engine.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
