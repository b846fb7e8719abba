/** One call answered: whole, or as server-sent events written only as fast as the client reads. */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { GenerationUsage, Model } from '../../../agent/model/index.ts';
import type { Call } from './call.ts';
import { type ChoiceEvent, speak } from './choices.ts';
import { toErrorForm } from './errors.ts';
import { addUsage, type Format, type Head, type Reason, type Said } from './format.ts';
import { fingerprintOf, modelIdOf } from './models.ts';

export interface AnswerParts {
  model: Model;
  signal: AbortSignal;
  /** Hears of every reply that ended, also when nobody was left to read it. */
  count(usage: GenerationUsage): void;
  /** Hears of an error that broke a stream; all others are thrown. */
  broke(error: unknown): void;
}

export async function answer(reply: FastifyReply, call: Call, format: Format, parts: AnswerParts): Promise<unknown> {
  const { model, signal, count, broke } = parts;
  const head: Head = {
    id: format.idPrefix + randomUUID().replaceAll('-', ''),
    created: Math.floor(Date.now() / 1_000),
    model: modelIdOf(model.info),
    system_fingerprint: fingerprintOf(model.info),
  };
  const used = new Map<number, GenerationUsage>();
  const events = speak(model, call.requests, signal, (usage, index) => {
    used.set(index, usage);
    count(usage);
  });
  // Refusals (busy, too long, an impossible constraint) come before the first event, while a status can still say so.
  const first = await events.next();
  reply.header('x-xiaohe-ai-generated', 'true');
  const all = prepend(first, events);
  if (!call.stream) return await whole(all, head, call, format, used);
  reply.type('text/event-stream; charset=utf-8').header('cache-control', 'no-cache').header('x-accel-buffering', 'no');
  return reply.send(Readable.from(frames(all, head, call, format, used, broke)));
}

async function* prepend<T>(first: IteratorResult<T>, rest: AsyncGenerator<T>): AsyncGenerator<T, void, undefined> {
  if (first.done) return;
  try {
    yield first.value;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

type Used = ReadonlyMap<number, GenerationUsage>;

async function whole(
  events: AsyncIterable<ChoiceEvent>,
  head: Head,
  { requests, n, logprobs }: Call,
  format: Format,
  used: Used,
): Promise<object> {
  const choices = requests.map((_, index): Said & { reason: Reason } => ({
    index,
    text: '',
    tokens: [],
    offset: 0,
    reason: 'stop',
  }));
  for await (const event of events) {
    const choice = choices[event.index]!;
    if (event.type === 'end') {
      choice.reason = event.reason;
      continue;
    }
    choice.text += event.text;
    choice.tokens.push(...event.tokens);
  }
  return format.whole(head, choices, addUsage(used, n), logprobs);
}

/** Asked for only when the socket has room: `Readable.from` pulls, and Fastify pipes it with backpressure. */
async function* frames(
  events: AsyncIterable<ChoiceEvent>,
  head: Head,
  { n, logprobs, includeUsage }: Call,
  format: Format,
  used: Used,
  broke: AnswerParts['broke'],
): AsyncGenerator<string, void, undefined> {
  // With usage asked for, all chunks but the last say that they have none.
  const frame = (chunk: object, last = false) =>
    `data: ${JSON.stringify(includeUsage && !last ? { ...chunk, usage: null } : chunk)}\n\n`;
  const offsets = new Map<number, number>();
  try {
    for await (const event of events) {
      const { index } = event;
      const offset = offsets.get(index) ?? 0;
      const opening = offsets.has(index) ? undefined : format.opening(head, index);
      if (opening) yield frame(opening);
      offsets.set(index, offset + (event.type === 'text' ? event.text.length : 0));
      if (event.type === 'text') yield frame(format.part(head, { ...event, offset }, logprobs));
      else yield frame(format.closing(head, index, event.reason));
    }
    if (includeUsage) yield frame(format.total(head, addUsage(used, n)), true);
    yield 'data: [DONE]\n\n';
  } catch (error) {
    broke(error);
    // Headers are out: the error is the last event, and official clients raise it.
    yield `data: ${JSON.stringify({ error: toErrorForm(error).error })}\n\n`;
  }
}
