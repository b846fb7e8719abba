/**
 * The whole way, as a visitor feels it: start, first words, whole reply, stop, thirty pupils at once, and the memory of
 * the process. Everything is real: the server in its own process, a socket, the shipped checkpoint.
 */
import { ChatClient } from '../support/chat-client.ts';
import { removeFolder, startServer } from '../support/server-process.ts';
import type { Row } from './main.ts';

const RUNS = 7;
const PUPILS = 30;
const QUESTIONS = [
  '你好',
  '你叫什么名字？',
  '你喜欢做什么？',
  'hello',
  '我今天很高兴',
  '我家的猫叫豆豆',
  '我家的猫叫什么？',
];

interface Timing {
  ackMs: number;
  /** From sending to the first words on the wire. */
  firstMs: number;
  totalMs: number;
  tokens: number;
  text: string;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function ask(client: ChatClient, text: string): Promise<Timing> {
  const started = performance.now();
  let firstMs = 0;
  const onEvent = (event: { type: string }) => {
    if (event.type === 'delta' && firstMs === 0) firstMs = performance.now() - started;
  };
  client.socket.on('generation.event', onEvent);
  const { id } = await client.send(text);
  const ackMs = performance.now() - started;
  const reply = await client.reply(id);
  const totalMs = performance.now() - started;
  client.socket.off('generation.event', onEvent);
  return { ackMs, firstMs, totalMs, tokens: reply.generation?.usage?.completionTokens ?? 0, text: reply.text };
}

/** From asking for the stop to hearing that the reply ended. */
async function stopLatency(client: ChatClient): Promise<number> {
  let askedAt = 0;
  const ended = new Promise<number>((resolve) => {
    const onEvent = (event: { type: string; generation: string }) => {
      if (event.type === 'start') {
        askedAt = performance.now();
        void client.ask('generation.stop', { generation: event.generation });
      } else if (event.type === 'end') {
        client.socket.off('generation.event', onEvent);
        resolve(performance.now() - askedAt);
      }
    };
    client.socket.on('generation.event', onEvent);
  });
  await client.send('给我讲一个长长的故事');
  return ended;
}

export async function* rows(): AsyncGenerator<Row> {
  const first = await startServer();
  yield { name: 'start/first', unit: 'ms', ours: Math.round(first.readyMs), note: 'already built; makes the database' };
  await first.end();
  const second = await startServer({ dataDirectory: first.dataDirectory });
  yield { name: 'start/second', unit: 'ms', ours: Math.round(second.readyMs) };
  const join = async (name: string) => {
    const client = await ChatClient.connect(second.url, { name });
    await client.join();
    return client;
  };
  try {
    const client = await join('小测');
    await ask(client, '你好');
    const timings: Timing[] = [];
    for (let run = 0; run < RUNS; run++) timings.push(await ask(client, QUESTIONS[run % QUESTIONS.length]!));
    const of = (pick: (timing: Timing) => number) => Math.round(median(timings.map(pick)));
    yield { name: 'turn/ack', unit: 'ms', ours: of((t) => t.ackMs), runs: RUNS };
    yield { name: 'turn/first-words', unit: 'ms', ours: of((t) => t.firstMs), runs: RUNS };
    yield { name: 'turn/total', unit: 'ms', ours: of((t) => t.totalMs), runs: RUNS };
    yield { name: 'turn/speed', unit: 'tok/s', ours: of((t) => (1_000 * t.tokens) / t.totalMs), runs: RUNS };
    const stops: number[] = [];
    for (let run = 0; run < RUNS; run++) stops.push(await stopLatency(client));
    yield { name: 'turn/stop', unit: 'ms', ours: Math.round(median(stops)), runs: RUNS };
    const pupils = await Promise.all(Array.from({ length: PUPILS }, (_, index) => join(`学生${index + 1}`)));
    const answers = await Promise.all(pupils.map((pupil) => ask(pupil, '你好，你会做什么？')));
    const firsts = answers.map((answer) => answer.firstMs).sort((a, b) => a - b);
    yield { name: 'turn/30-pupils/first-words-median', unit: 'ms', ours: Math.round(median(firsts)), runs: 1 };
    yield {
      name: 'turn/30-pupils/first-words-max',
      unit: 'ms',
      ours: Math.round(firsts.at(-1) ?? Number.NaN),
      runs: 1,
    };
    yield { name: 'turn/30-pupils/lost', unit: 'replies', ours: answers.filter((answer) => answer.text === '').length };
    yield { name: 'turn/server-rss', unit: 'MiB', ours: Math.round(second.rssMiB()) };
    for (const each of [client, ...pupils]) each.close();
  } finally {
    await second.end();
    removeFolder(second.dataDirectory);
  }
}
