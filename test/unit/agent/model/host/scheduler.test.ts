/** Continuous batching on the real engine, in this thread so that every step can be watched. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTfjsEngine } from '../../../../../agent/model/engines/tfjs/index.ts';
import type { ReplyEvent } from '../../../../../agent/model/host/messages.ts';
import { MAX_WAITING, MAX_WAITING_EACH } from '../../../../../agent/model/host/queue.ts';
import type { ReplyRequest } from '../../../../../agent/model/host/reply.ts';
import { MAX_RUNNING, Scheduler, STEP_ROWS } from '../../../../../agent/model/host/scheduler.ts';
import { type Batch, type Engine, ModelError } from '../../../../../agent/model/types.ts';
import { checkpoint, GREEDY, messagesOf, reference, tokenizer } from '../seedling.ts';

const PAGES = 200;
const LIVELY = { ...GREEDY, temperature: 1, topK: 20 };

let engine: Engine;
let batches: Batch[];
let scheduler: Scheduler;
let watch: (events: ReplyEvent[]) => void;
let crashed: unknown[];
/** Set to make the next step fail. */
let fault: Error | undefined;
/** Set to refuse steps in which a sequence holds this token. */
let poison: number | undefined;
/** Set to break the logits of the row with this number. */
let brokenRow: number | undefined;
let nextId = 0;

beforeAll(async () => {
  engine = await openTfjsEngine('wasm', checkpoint, { pages: PAGES, gpuOnly: false });
});
afterAll(() => engine.close());
beforeEach(() => {
  batches = [];
  watch = () => {};
  crashed = [];
  fault = undefined;
  poison = undefined;
  brokenRow = undefined;
  const step = async (batch: Batch) => {
    batches.push(batch);
    if (fault) throw fault;
    if (poison !== undefined && batch.tokens.includes(poison))
      throw new ModelError('TOKEN_OUT_OF_RANGE', `token ${poison}`);
    const logits = await engine.step(batch);
    if (brokenRow !== undefined) logits[brokenRow * checkpoint.config.vocabulary + 7] = Number.NaN;
    return logits;
  };
  scheduler = new Scheduler({
    engine: { ...engine, step },
    tokenizer,
    config: checkpoint.config,
    emit: (events) => watch(events),
    crash: (cause) => crashed.push(cause),
  });
});

const request = (content: string, rest: Partial<ReplyRequest> = {}): ReplyRequest => ({
  messages: [{ role: 'user', content }],
  maxTokens: 12,
  sampling: GREEDY,
  ...rest,
});

/** A reply of exactly this many characters, however terse the checkpoint is. */
const exactly = (count: number) => ({
  maxTokens: count,
  constraint: { kind: 'slots' as const, slots: Array.from({ length: count }, () => ({})) },
});

type End = Extract<Extract<ReplyEvent, { event: unknown }>['event'], { type: 'end' }>;

/** Submits together and waits for every end; the texts streamed must be the texts ended with. */
function all(requests: ReplyRequest[], also: (events: ReplyEvent[]) => void = () => {}): Promise<End[]> {
  const ids = requests.map(() => ++nextId);
  const ends = new Map<number, End>();
  const streamed = new Map<number, string>();
  return new Promise((resolve, reject) => {
    watch = (events) => {
      also(events);
      for (const reply of events) {
        if ('error' in reply) reject(reply.error);
        else if (reply.event.type === 'token')
          streamed.set(reply.id, (streamed.get(reply.id) ?? '') + reply.event.text);
        else {
          expect(reply.event.text).toBe(streamed.get(reply.id) ?? '');
          ends.set(reply.id, reply.event);
        }
      }
      if (ends.size === ids.length) resolve(ids.map((id) => ends.get(id)!));
    };
    requests.forEach((one, i) => {
      scheduler.submit(ids[i]!, one);
    });
  });
}
const one = async (value: ReplyRequest) => (await all([value]))[0]!;

/** The loop needs one more turn after the last end to fall asleep; pages are back at once. */
const idle = { running: 0, waiting: 0, freePages: PAGES };

describe('scheduler', () => {
  it('says in company what it says alone, seeds included', async () => {
    const requests = [
      ...reference.cases.map((c) => request('', { messages: messagesOf(c.text), maxTokens: 20 })),
      request('你好', { sampling: { ...LIVELY, seed: 1 }, ...exactly(12) }),
      request('你好', { sampling: { ...LIVELY, seed: 2 }, ...exactly(12) }),
      request('给我讲个故事', { sampling: { ...LIVELY, seed: 1 }, maxTokens: 5 }),
    ];
    const alone: End[] = [];
    for (const value of requests) alone.push(await one(value));
    const together = await all(requests);
    expect(together.map((end) => end.text)).toEqual(alone.map((end) => end.text));
    expect(alone[4]!.text).not.toBe(alone[5]!.text);
    expect(scheduler.load).toMatchObject(idle);
    const busiest = Math.max(...batches.map((batch) => batch.sequences.length));
    expect(busiest).toBe(requests.length);
  });

  it('reads long prompts in chunks beside running replies, within the step budget', async () => {
    const long = request('月亮绕着地球转。'.repeat(60), { maxTokens: 4 });
    const [short, essay] = await all([request('你好', { maxTokens: 20 }), long]);
    expect(essay!.usage.promptTokens).toBeGreaterThan(2 * STEP_ROWS);
    expect(Math.max(...batches.map((batch) => batch.tokens.length))).toBeLessThanOrEqual(STEP_ROWS);
    expect(short!.usage.completionTokens).toBeGreaterThan(0);
    const alone = await one(long);
    expect(alone.text).toBe(essay!.text);
    // All full pages but the one holding the last prompt token came from the cache.
    expect(alone.usage.cachedTokens).toBeGreaterThan(essay!.usage.promptTokens - 32);
  });

  it('takes a known beginning from the cache and says the same', async () => {
    const value = request('我家的猫叫豆豆，它很喜欢吃鱼。你知道我家的猫叫什么名字吗？', {
      sampling: { ...LIVELY, seed: 9 },
    });
    const cold = await one(value);
    const coldRows = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
    batches = [];
    const warm = await one(value);
    expect(cold.usage.cachedTokens).toBe(0);
    expect(warm.usage.cachedTokens).toBeGreaterThanOrEqual(16);
    expect(batches.reduce((sum, batch) => sum + batch.tokens.length, 0)).toBe(coldRows - warm.usage.cachedTokens);
    expect(warm.text).toBe(cold.text);
    expect(scheduler.load).toMatchObject(idle);
  });

  it('stops at an abort: the reply is in no later step and its pages are free', async () => {
    const doomed = nextId + 1;
    let seen = 0;
    let stepsAtAbort = 0;
    const ends = await all(
      [request('你好', { sampling: { ...LIVELY, seed: 3 }, ...exactly(200) }), request('早上好')],
      (events) => {
        for (const reply of events) {
          if (reply.id !== doomed || 'error' in reply) continue;
          if (reply.event.type === 'token' && ++seen === 3) {
            stepsAtAbort = batches.length;
            queueMicrotask(() => scheduler.abort(doomed));
          }
        }
      },
    );
    expect(ends[0]).toMatchObject({ reason: 'abort', usage: { completionTokens: 3 } });
    expect(batches.slice(stepsAtAbort).every((batch) => batch.sequences.length === 1)).toBe(true);
    expect(scheduler.load).toMatchObject(idle);
  });

  it('aborts what still waits', async () => {
    const id = nextId + 1;
    const ended = all([request('你好')]);
    scheduler.abort(id);
    expect((await ended)[0]).toMatchObject({ reason: 'abort', text: '' });
    expect(batches).toEqual([]);
  });

  it('refuses beyond its bound, with a time to come back', async () => {
    const many = Array.from({ length: MAX_WAITING }, (_, i) => request(`第${i}个`, { maxTokens: 1 }));
    const ended = all(many);
    expect(() => scheduler.submit(++nextId, request('再来一个'))).toThrow(
      expect.objectContaining({ code: 'BUSY', retryAfterMs: expect.any(Number) }),
    );
    await ended;
    expect(scheduler.load).toMatchObject(idle);
  });

  it('waits for pages instead of throwing a running reply out', async () => {
    // Each needs more than half of all pages.
    const large = (i: number) => request(`第${i}个`, { ...exactly(6 + i), maxTokens: (PAGES * 16) / 2 });
    const ends = await all([large(0), large(1), large(2)]);
    expect(ends.map((end) => [...end.text].length)).toEqual([6, 7, 8]);
    expect(scheduler.load).toMatchObject(idle);
  });

  it('refuses prompts longer than the context and impossible constraints', () => {
    const refuse = (value: ReplyRequest, code: string) =>
      expect(() => scheduler.submit(++nextId, value)).toThrow(expect.objectContaining({ code }));
    refuse(request('长'.repeat(checkpoint.config.context)), 'CONTEXT_TOO_LONG');
    refuse(
      request('对', { constraint: { kind: 'slots', slots: [{ allow: '春' }, { same: 0, deny: '春' }] } }),
      'CONSTRAINT_IMPOSSIBLE',
    );
    expect(scheduler.load).toMatchObject(idle);
  });

  it('keeps a constraint and ends after its last slot', async () => {
    const slots = [{}, { same: 0 }, { differ: [0] }, { allow: '，' }, { allow: '春夏秋冬' }, { deny: '的' }];
    const ends = await all(
      [1, 2, 3, 4].map((seed) =>
        request('对对子', { maxTokens: 50, sampling: { ...LIVELY, seed }, constraint: { kind: 'slots', slots } }),
      ),
    );
    for (const { text, reason } of ends) {
      expect(text).toMatch(/^(\p{Script=Han})\1(?!\1)\p{Script=Han}，[春夏秋冬][^的]$/u);
      expect(reason).toBe('stop');
    }
  });

  it('ends before a stop string, and at its length', async () => {
    const full = await one(request('你好', exactly(12)));
    const middle = [...full.text].slice(3, 5).join('');
    const cut = await one(request('你好', { ...exactly(12), stop: [middle] }));
    expect(cut).toMatchObject({ reason: 'stop', text: full.text.slice(0, full.text.indexOf(middle)) });
    const short = await one(request('你好', { ...exactly(12), maxTokens: 2 }));
    expect(short).toMatchObject({ reason: 'length', usage: { completionTokens: 2 } });
  });

  it('fails the replies of a refused step, and goes on', async () => {
    fault = new ModelError('TOKEN_OUT_OF_RANGE', 'token 99999');
    await expect(one(request('你好'))).rejects.toMatchObject({ code: 'TOKEN_OUT_OF_RANGE' });
    fault = undefined;
    expect((await one(request('你好', exactly(2)))).usage.completionTokens).toBe(2);
    expect(scheduler.load).toMatchObject(idle);
    expect(crashed).toEqual([]);
  });

  it('reports an engine that broke, and runs it no further', async () => {
    fault = new RangeError('memory access out of bounds');
    scheduler.submit(++nextId, request('你好'));
    await expect.poll(() => crashed).toEqual([fault]);
    scheduler.submit(++nextId, request('早'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(batches.length).toBe(1);
  });

  it('embeds beside replies: unit rows, the same for the same text', async () => {
    const reply = all([request('你好')]);
    const rows = await scheduler.embed(['我家的猫叫豆豆', '月亮绕着地球转', '我家的猫叫豆豆', '']);
    await reply;
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    expect(dot(rows[0]!, rows[0]!)).toBeCloseTo(1, 5);
    expect(dot(rows[0]!, rows[2]!)).toBeCloseTo(1, 5);
    expect(dot(rows[0]!, rows[1]!)).toBeLessThan(0.999);
    expect([...rows[3]!].every((value) => value === 0)).toBe(true);
    await expect(scheduler.embed(['长'.repeat(3_000)])).rejects.toMatchObject({ code: 'CONTEXT_TOO_LONG' });
  });

  it('fails only the reply that the engine refuses', async () => {
    [poison] = tokenizer.encode('毒');
    const good = await one(request('你好', exactly(4)));
    const bad = one(request('毒', exactly(4)));
    await expect(bad).rejects.toMatchObject({ code: 'TOKEN_OUT_OF_RANGE' });
    const seen = new Map<number, string>();
    const ids = [++nextId, ++nextId, ++nextId];
    watch = (events) => {
      for (const reply of events)
        if ('error' in reply) seen.set(reply.id, (reply.error as ModelError).code);
        else if (reply.event.type === 'end') seen.set(reply.id, reply.event.text);
    };
    ['你好', '毒', '你好'].forEach((text, i) => {
      scheduler.submit(ids[i]!, request(text, exactly(4)));
    });
    await expect.poll(() => seen.size).toBe(3);
    expect(ids.map((id) => seen.get(id))).toEqual([good.text, 'TOKEN_OUT_OF_RANGE', good.text]);
    expect(scheduler.load).toMatchObject(idle);
    expect(crashed).toEqual([]);
  });

  it('fails only the reply whose logits are no numbers', async () => {
    brokenRow = 1;
    const seen = new Map<number, string>();
    const ids = [++nextId, ++nextId];
    watch = (events) => {
      for (const reply of events)
        if ('error' in reply) seen.set(reply.id, (reply.error as ModelError).code);
        else if (reply.event.type === 'end') seen.set(reply.id, reply.event.reason);
    };
    for (const id of ids) scheduler.submit(id, request('你好', exactly(3)));
    await expect.poll(() => seen.size).toBe(2);
    expect(ids.map((id) => seen.get(id))).toEqual(['stop', 'ENGINE_CRASHED']);
    expect(crashed).toEqual([]);
  });

  it('serves waiting people in turn', async () => {
    const order: string[] = [];
    const many = (person: string, count: number) =>
      Array.from({ length: count }, () => request('你好', { ...exactly(1), person }));
    const requests = [...many('甲', 24), ...many('乙', 24), request('早', { ...exactly(1), person: '丙' })];
    const first = nextId + 1;
    await all(requests, (events) => {
      for (const reply of events)
        if (!('error' in reply) && reply.event.type === 'end') order.push(requests[reply.id - first]!.person!);
    });
    // All replies are alike, so they end in the order they were let in: 丙's in the first round.
    expect(order.indexOf('丙')).toBeLessThan(MAX_RUNNING);
  });

  it('refuses more of one person than their share of the line', async () => {
    const person = '甲';
    const own = Array.from({ length: MAX_WAITING_EACH }, () => request('你好', { ...exactly(1), person }));
    const ended = all([...own, request('早', { ...exactly(1), person: '乙' })]);
    expect(() => scheduler.submit(++nextId, own[0]!)).toThrow(
      expect.objectContaining({ code: 'BUSY', retryAfterMs: expect.any(Number) }),
    );
    await ended;
    expect(scheduler.load).toMatchObject(idle);
  });

  it('lists the likeliest tokens, with the same numbers as the chosen one', async () => {
    const tokens: Extract<Extract<ReplyEvent, { event: unknown }>['event'], { type: 'token' }>[] = [];
    await all([request('你好', { topLogprobs: 5 })], (events) => {
      for (const reply of events) if (!('error' in reply) && reply.event.type === 'token') tokens.push(reply.event);
    });
    for (const { token, logprob, top } of tokens) {
      expect(top!.length).toBe(5);
      // Greedy: the chosen one is the likeliest that may be said.
      expect(top!.find((other) => other.token === token)?.logprob).toBe(logprob);
      for (let i = 1; i < 5; i++) expect(top![i]!.logprob).toBeLessThanOrEqual(top![i - 1]!.logprob);
      expect(top!.every(({ text }) => typeof text === 'string')).toBe(true);
    }
    expect(tokens.length).toBeGreaterThan(0);
  });

  it('continues a raw prompt as it continues the same chat', async () => {
    const { text, greedy_text } = reference.cases[0]!;
    const raw = await one({ prompt: text, maxTokens: 20, sampling: GREEDY });
    const chat = await one(request('', { messages: messagesOf(text), maxTokens: 20 }));
    expect(raw.text).toBe(chat.text);
    expect(greedy_text.startsWith(raw.text.slice(0, 4))).toBe(true);
    const empty = await one({ prompt: '', maxTokens: 3, sampling: GREEDY });
    expect(empty.usage).toMatchObject({ promptTokens: 1 });
  });

  it('writes JSON under a schema, in time, whatever the temperature', async () => {
    const schema = {
      type: 'object',
      properties: {
        名字: { type: 'string' },
        age: { type: 'integer', minimum: 6, maximum: 12 },
        likes: { type: 'array', items: { type: 'string' } },
      },
      required: ['名字', 'age', 'likes'],
      additionalProperties: false,
    };
    const requests = [1, 2, 3, 4].map((seed) =>
      request('你是谁？', {
        maxTokens: 60,
        sampling: { ...LIVELY, temperature: seed / 2, topK: 0, seed },
        constraint: { kind: 'json', schema },
      }),
    );
    for (const { text, reason } of await all(requests)) {
      expect(reason).toBe('stop');
      const value = JSON.parse(text);
      expect(Object.keys(value)).toEqual(['名字', 'age', 'likes']);
      expect(value.age).toBeGreaterThanOrEqual(6);
      expect(value.age).toBeLessThanOrEqual(12);
    }
    const short = await one({ ...requests[0]!, maxTokens: 4 });
    expect(short).toMatchObject({ reason: 'length', usage: { completionTokens: 4 } });
    const free = await one(request('你好', { maxTokens: 40, constraint: { kind: 'json' } }));
    expect(JSON.parse(free.text)).toBeTypeOf('object');
    expect(() =>
      scheduler.submit(++nextId, request('', { constraint: { kind: 'json', schema: { not: {} } } })),
    ).toThrow(expect.objectContaining({ code: 'CONSTRAINT_UNSUPPORTED' }));
  });
});
