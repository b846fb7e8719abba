/**
 * The model as callers use it: a real worker thread (the compiled one), a real engine, the LangChain face, and a worker
 * that dies. The worker is caught through Node's own diagnostics channel, so nothing is opened up for the test.
 */
import { subscribe } from 'node:diagnostics_channel';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Model, openModel, SHIPPED_CHECKPOINT, XiaoheChatModel } from '../../../../agent/model/index.ts';
import type { GenerateEvent, GenerateRequest } from '../../../../agent/model/types.ts';
import { checkpoint, GREEDY } from './seedling.ts';

const LIVELY = { ...GREEDY, temperature: 1, topK: 20, seed: 4 };
const workers: Worker[] = [];
subscribe('worker_threads', (message) => workers.push((message as { worker: Worker }).worker));

let model: Model;
const lines: string[] = [];
beforeAll(async () => {
  model = await openModel({ checkpoint: SHIPPED_CHECKPOINT, engine: 'wasm', log: (_, line) => lines.push(line) });
});
afterAll(() => model.close());

const request = (content: string, rest: Partial<GenerateRequest> = {}): GenerateRequest => ({
  messages: [{ role: 'user', content }],
  maxTokens: 10,
  sampling: LIVELY,
  ...rest,
});
/** A reply that would be far longer than any test waits, however terse the checkpoint is. */
const ENDLESS = {
  maxTokens: 1_500,
  constraint: { kind: 'slots' as const, slots: Array.from({ length: 1_500 }, () => ({})) },
};
async function collect(events: AsyncIterable<GenerateEvent>) {
  const list: GenerateEvent[] = [];
  for await (const event of events) list.push(event);
  const end = list.pop();
  if (end?.type !== 'end') throw new Error('no end');
  return { tokens: list.filter((event) => event.type === 'token'), end };
}

describe('model', () => {
  it('says what it is', () => {
    expect(model.info.checkpoint).toMatchObject({
      name: 'seedling',
      sha256: checkpoint.sha256,
      layers: 6,
      experts: 16,
      expertsPerToken: 4,
      context: 2_048,
    });
    expect(model.info.checkpoint.activeParameters).toBeLessThan(model.info.checkpoint.parameters / 2);
    expect(model.info.engine).toMatchObject({ name: 'wasm', gpu: false });
    expect(lines.join()).toContain('wasm');
  });

  it('streams tokens, then one end with what it cost', async () => {
    const { tokens, end } = await collect(model.generate(request('你好', { maxTokens: 6 })));
    expect(tokens.map((token) => token.text).join('')).toBe(end.text);
    expect(end.usage.completionTokens).toBe(tokens.length);
    expect(end.usage.firstTokenMs).toBeGreaterThan(0);
    expect(end.usage.totalMs).toBeGreaterThanOrEqual(end.usage.firstTokenMs);
    expect(end.usage.computeMs).toBeGreaterThan(0);
    expect(tokens.every((token) => token.logprob <= 0)).toBe(true);
    const again = await collect(model.generate(request('你好', { maxTokens: 6 })));
    expect(again.end.text).toBe(end.text);
  });

  it('ends an aborted reply with what was said so far', async () => {
    const controller = new AbortController();
    let seen = 0;
    let end: GenerateEvent | undefined;
    for await (const event of model.generate(request('你好', { ...ENDLESS, signal: controller.signal }))) {
      if (++seen === 3) controller.abort();
      end = event;
    }
    expect(end).toMatchObject({ type: 'end', reason: 'abort' });
    const before = await collect(model.generate(request('你好', { signal: AbortSignal.abort() })));
    expect(before).toMatchObject({ tokens: [], end: { reason: 'abort', text: '' } });
  });

  it('drops a reply whose reader walks away', async () => {
    for await (const event of model.generate(request('你好', ENDLESS))) if (event.type === 'token') break;
    // Were the abandoned reply still running, 1,500 tokens would stand before this one's end.
    const { end } = await collect(model.generate(request('早', { maxTokens: 2 })));
    expect(end.usage.completionTokens).toBeLessThanOrEqual(2);
  });

  it('refuses with coded errors', async () => {
    const refused = (value: GenerateRequest) => collect(model.generate(value));
    await expect(refused(request('长'.repeat(3_000)))).rejects.toMatchObject({
      name: 'ModelError',
      code: 'CONTEXT_TOO_LONG',
    });
    const constraint = { kind: 'slots' as const, slots: [{ allow: '' }] };
    await expect(refused(request('对', { constraint }))).rejects.toMatchObject({ code: 'CONSTRAINT_IMPOSSIBLE' });
    const missing = openModel({ checkpoint: '/nowhere', engine: 'wasm' });
    await expect(missing).rejects.toMatchObject({ code: 'CHECKPOINT_MISSING' });
    const remote = openModel({ checkpoint: SHIPPED_CHECKPOINT, engine: 'remote' });
    await expect(remote).rejects.toMatchObject({ code: 'REMOTE_FAILED' });
  });

  it('embeds through the retrieval head', async () => {
    const head = JSON.parse(readFileSync(join(SHIPPED_CHECKPOINT, '2_Dense/config.json'), 'utf8'));
    const rows = await model.embed(['你好', 'hello']);
    expect(rows.map((row) => row.length)).toEqual([head.out_features, head.out_features]);
    expect(Math.hypot(...rows[0]!)).toBeCloseTo(1, 5);
  });

  it('survives the loss of its worker: running replies fail, later ones work', async () => {
    const running = model.generate(request('你好', ENDLESS));
    await running.next();
    const lost = workers[0]!;
    const rest = collect(running);
    await Promise.all([lost.terminate(), expect(rest).rejects.toMatchObject({ code: 'ENGINE_CRASHED' })]);
    const { end } = await collect(model.generate(request('你好', { maxTokens: 3 })));
    expect(end.usage.completionTokens).toBeGreaterThan(0);
  });
});

describe('a model whose weights overflow', () => {
  it('fails each reply instead of hanging or babbling', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'xiaohe-overflow-'));
    const files = ['config.json', 'generation_config.json', 'tokenizer.json', 'model.safetensors'];
    for (const file of files) copyFileSync(join(SHIPPED_CHECKPOINT, file), join(directory, file));
    const path = join(directory, 'model.safetensors');
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
    const [from, to] = header['model.norm.weight'].data_offsets;
    for (let at = from; at < to; at += 4) bytes.writeFloatLE(3e38, 8 + length + at);
    writeFileSync(path, bytes);
    const sick = await openModel({ checkpoint: directory, engine: 'wasm' });
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(collect(sick.generate(request('你好')))).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
    await sick.close();
    rmSync(directory, { recursive: true });
  });
});

describe('chat model', () => {
  const chat = () => new XiaoheChatModel({ model, sampling: LIVELY, maxTokens: 8 });

  it('streams chunks and ends with usage and finish reason', async () => {
    const heard: string[] = [];
    const callbacks = [{ handleLLMNewToken: (token: string) => void heard.push(token) }];
    const chunks = [];
    for await (const chunk of await chat().stream(
      [
        ['system', '小禾'],
        ['human', '你好'],
      ],
      { callbacks },
    ))
      chunks.push(chunk);
    const whole = chunks.reduce((sum, chunk) => sum.concat(chunk));
    expect(chunks.length).toBeGreaterThan(2);
    expect(heard.join('')).toBe(whole.text);
    expect(whole.response_metadata).toMatchObject({
      finish_reason: expect.stringMatching(/^(stop|length)$/),
      engine: 'wasm',
    });
    expect(whole).toMatchObject({
      usage_metadata: { input_tokens: expect.any(Number), output_tokens: expect.any(Number) },
    });
    const direct = await collect(
      model.generate({
        messages: [
          { role: 'system', content: '小禾' },
          { role: 'user', content: '你好' },
        ],
        maxTokens: 8,
        sampling: LIVELY,
      }),
    );
    expect(whole.text).toBe(direct.end.text);
  });

  it('carries sampling, constraint, length and stop in the call', async () => {
    const constraint = { kind: 'slots' as const, slots: [{ allow: '春' }, { allow: '风' }] };
    const couplet = await chat().invoke('对', { constraint, sampling: { temperature: 0 } });
    expect(couplet.text).toBe('春风');
    const short = await chat().invoke('你好', { maxTokens: 1 });
    expect(short).toMatchObject({ usage_metadata: { output_tokens: 1 } });
    const full = (await chat().invoke('你好')).text;
    const stop = [...full].slice(2, 4).join('');
    expect((await chat().invoke('你好', { stop: [stop] })).text).toBe(full.slice(0, full.indexOf(stop)));
  });

  it('stops on the signal of the call', async () => {
    const controller = new AbortController();
    let chunks = 0;
    const stream = await chat().stream('你好', { ...ENDLESS, signal: controller.signal });
    const reading = (async () => {
      for await (const _ of stream) if (++chunks === 2) controller.abort();
    })();
    await expect(reading).rejects.toThrow(/abort/i);
    expect(chunks).toBeLessThan(20);
  });

  it('refuses messages of roles it was never taught', async () => {
    const call = chat().invoke([{ role: 'tool', content: '42', tool_call_id: '1' }]);
    await expect(call).rejects.toThrow(/tool/);
  });
});
