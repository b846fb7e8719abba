/**
 * One Xiaohe as the brain of another, over the real API with the real model: what is said, counted, stopped and embedded
 * there arrives here unchanged, and the page in front tells the truth about who thinks.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type GenerateOptions,
  type Model,
  openModel,
  type Prompt,
  SHIPPED_CHECKPOINT,
} from '../../agent/model/index.ts';
import { parseConfig } from '../../server/config.ts';
import { type RunningServer, startServer } from '../../server/main.ts';
import { ChatClient } from '../support/chat-client.ts';
import { silent } from '../support/databases.ts';

const KEY = 'a-key-for-tests-of-the-remote-brain';
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const folders: string[] = [];

async function serve(environment: Record<string, string>): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), 'xiaohe-test-'));
  folders.push(folder);
  return startServer(parseConfig({ PORT: '0', XIAOHE_DATA_DIR: folder, XIAOHE_THREADS: '1', ...environment }), {
    log: silent,
  });
}
const remoteTo = (url: string, key: string) => ({
  XIAOHE_ENGINE: 'remote',
  XIAOHE_REMOTE_URL: url,
  XIAOHE_REMOTE_KEY: key,
});

describe('a Xiaohe whose brain is another Xiaohe', () => {
  let brain: RunningServer;
  let local: Model;
  let remote: Model;

  beforeAll(async () => {
    brain = await serve({ XIAOHE_API_KEYS: KEY });
    await brain.ready;
    [local, remote] = await Promise.all([
      openModel({ checkpoint: SHIPPED_CHECKPOINT, engine: 'auto', threads: 1 }),
      openModel({ checkpoint: '', engine: 'remote', remote: { url: brain.url, key: KEY } }),
    ]);
  });
  afterAll(async () => {
    await remote?.close();
    await local?.close();
    await brain?.close();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  const ASKED: Prompt = {
    messages: [
      { role: 'system', content: '小禾 6岁' },
      { role: 'user', content: '你是谁？' },
    ],
  };

  async function say(model: Model, options: Partial<GenerateOptions> = {}, prompt: Prompt = ASKED) {
    let logprob = 0;
    for await (const event of model.generate({ ...prompt, maxTokens: 40, sampling: GREEDY, ...options })) {
      if (event.type === 'end') return { ...event, logprob };
      if (event.text !== '') logprob += event.logprob;
    }
    throw new Error('no end');
  }

  it('says and counts the same', async () => {
    const [here, there] = [await say(local), await say(remote)];
    expect(there.text).toBe(here.text);
    expect(there.reason).toBe(here.reason);
    expect(there.usage.promptTokens).toBe(here.usage.promptTokens);
    expect(there.usage.completionTokens).toBe(here.usage.completionTokens);
    expect(there.logprob).toBeCloseTo(here.logprob, 2);
    const seeded = { sampling: { ...GREEDY, temperature: 0.9, topK: 40, seed: 11 } };
    expect((await say(remote, seeded)).text).toBe((await say(local, seeded)).text);
    const raw = { prompt: '从前有' };
    expect((await say(remote, {}, raw)).text).toBe((await say(local, {}, raw)).text);
  });

  it('keeps a schema, and embeds the same', async () => {
    const schema = {
      type: 'object',
      properties: { name: { enum: ['小禾', '小明'] } },
      required: ['name'],
      additionalProperties: false,
    };
    const { text } = await say(remote, { constraint: { kind: 'json', schema } });
    expect(JSON.parse(text)).toEqual({ name: expect.stringMatching(/^小[禾明]$/) });
    const texts = ['我家的猫叫豆豆', '今天下雨了'];
    const [here, there] = [await local.embed(texts), await remote.embed(texts)];
    for (const [i, row] of there.entries())
      expect(row.reduce((sum, value, at) => sum + value * here[i]![at]!, 0)).toBeCloseTo(1, 4);
  });

  it('stops there when it is stopped here', async () => {
    const stop = new AbortController();
    let said = '';
    for await (const event of remote.generate({
      prompt: '从前有一个',
      maxTokens: 400,
      sampling: { ...GREEDY, temperature: 1 },
      signal: stop.signal,
    })) {
      if (event.type === 'token') {
        said += event.text;
        stop.abort();
      } else expect(event).toMatchObject({ reason: 'abort', text: said });
    }
    expect((await say(remote)).text).not.toBe('');
  });

  it('talks, remembers, and says who thinks', async () => {
    const front = await serve(remoteTo(brain.url, KEY));
    await front.ready;
    const { model, ready } = (await (await fetch(`${front.url}/health`)).json()) as {
      ready: boolean;
      model: Record<string, unknown>;
    };
    const host = new URL(brain.url).host;
    expect(ready).toBe(true);
    expect(model).toMatchObject({ engine: 'remote', device: expect.stringContaining(host), gpu: false });
    expect(JSON.stringify(model)).not.toContain(KEY);
    const client = await ChatClient.connect(front.url, { name: '小明' });
    await client.join('me');
    await client.reply((await client.send('我家的猫叫豆豆')).id);
    const reply = await client.reply((await client.send('我家的猫叫什么')).id);
    expect(reply.generation).toMatchObject({ status: 'done', recalled: [{ text: '我家的猫叫豆豆', teacher: '小明' }] });
    expect(reply.generation!.engine).toContain(host);
    client.close();
    await front.close();
  });

  it('says on its health page that the key is wrong', async () => {
    const front = await serve(remoteTo(brain.url, 'a-wrong-key-of-enough-length'));
    await expect(front.ready).rejects.toMatchObject({
      code: 'REMOTE_FAILED',
      message: expect.stringContaining('XIAOHE_REMOTE_KEY'),
    });
    const health = (await (await fetch(`${front.url}/health`)).json()) as Record<string, unknown>;
    expect(health).toMatchObject({ ready: false, reason: { code: 'REMOTE_FAILED' } });
    await front.close();
  });
});
