/** Several replies under way at once, as one stream of what each grows by. */
import { setMaxListeners } from 'node:events';
import type { GenerateEvent, GenerateRequest, GenerationUsage, Model } from '../../../agent/model/index.ts';

export type Token = Extract<GenerateEvent, { type: 'token' }>;
export type ChoiceEvent =
  /** Text, and the tokens that made it: more than one where a character or a withheld stop string needed several. */
  | { type: 'text'; index: number; text: string; tokens: Token[] }
  | { type: 'end'; index: number; reason: 'stop' | 'length'; usage: GenerationUsage };

/**
 * Makes all replies (at least one) and yields what they bring, in the order it comes. Throws what the first failing one throws, or the
 * reason of `signal`; the others are stopped then. `count` hears of every reply that ended, wanted or not.
 */
export async function* speak(
  model: Model,
  requests: readonly GenerateRequest[],
  signal: AbortSignal,
  count: (usage: GenerationUsage, index: number) => void,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  // Every reply listens; Node takes more than ten for a leak.
  setMaxListeners(requests.length, either);
  const replies = requests.map((request, index) => reply(model, { ...request, signal: either }, index, count));
  let begun = false;
  const awaited = new Map([[0, next(replies[0]!, 0)]]);
  try {
    while (awaited.size > 0) {
      const { index, result } = await Promise.race(awaited.values());
      // The others begin once the first has read the prompt: they find it in the prefix cache, and what is refused is
      // refused once.
      if (!begun) for (let i = 1; i < replies.length; i++) awaited.set(i, next(replies[i]!, i));
      begun = true;
      if (result.done) {
        awaited.delete(index);
        continue;
      }
      awaited.set(index, next(replies[index]!, index));
      yield result.value;
    }
  } finally {
    stop.abort();
    // They end by themselves now; their ends are still counted.
    for (const index of awaited.keys()) void exhaust(replies[index]!);
    for (const pending of awaited.values()) pending.catch(() => undefined);
  }
}

async function next<T>(
  events: AsyncGenerator<T>,
  index: number,
): Promise<{ index: number; result: IteratorResult<T> }> {
  return { index, result: await events.next() };
}

async function exhaust(events: AsyncGenerator<unknown>): Promise<void> {
  try {
    for await (const _ of events);
  } catch {
    // The first failure has been reported already.
  }
}

async function* reply(
  model: Model,
  request: GenerateRequest & { signal: AbortSignal },
  index: number,
  count: (usage: GenerationUsage, index: number) => void,
): AsyncGenerator<ChoiceEvent, void, undefined> {
  let tokens: Token[] = [];
  for await (const event of model.generate(request)) {
    if (event.type === 'token') {
      tokens.push(event);
      if (event.text === '') continue;
      yield { type: 'text', index, text: event.text, tokens };
      tokens = [];
      continue;
    }
    count(event.usage, index);
    if (event.reason === 'abort') throw request.signal.reason;
    // Tokens left over made no text: an end mark or a stop string, which are no part of the reply, or, where the reply
    // was cut, the beginning of a character.
    if (event.reason === 'length' && tokens.length > 0) yield { type: 'text', index, text: '', tokens };
    yield { type: 'end', index, reason: event.reason, usage: event.usage };
  }
}
