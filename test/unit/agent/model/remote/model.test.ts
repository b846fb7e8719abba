/** The remote brain over real HTTP: what it says, stops, asks for, gives up on, and how it words what went wrong. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Patience } from '../../../../../agent/model/remote/connection.ts';
import { openRemote, type RemoteModel } from '../../../../../agent/model/remote/index.ts';
import type { GenerateEvent, GenerateRequest, RemoteOptions, Sampling } from '../../../../../agent/model/types.ts';
import { type Answer, type Asked, type OpenAIServer, startOpenAI } from '../../../../support/openai-server.ts';

const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const WARM: Sampling = { temperature: 0.7, topK: 20, topP: 0.8, minP: 0.05, repetitionPenalty: 1.1, seed: 5 };
/** Short, so that a server that says nothing is noticed within a test. */
const QUICK: Patience = { firstByteMs: 400, idleMs: 300, retryMs: [5, 10], startMs: 0 };
const KEY = 'sk-very-secret-0123456789';

let server: OpenAIServer | undefined;
let model: RemoteModel | undefined;
afterEach(async () => {
  await model?.close();
  await server?.close();
  model = undefined;
  server = undefined;
});

async function open(
  answer: (asked: Asked, count: number) => Answer,
  options: Partial<RemoteOptions> = {},
  more: Omit<Parameters<typeof startOpenAI>[0], 'answer'> = {},
) {
  server = await startOpenAI({ answer, ...more });
  const logged: string[] = [];
  model = await openRemote(
    { remote: { url: server.url, ...options }, log: (...line) => logged.push(JSON.stringify(line)) },
    QUICK,
  );
  return { server, model, logged };
}
const hello = (changes: Partial<GenerateRequest> = {}): GenerateRequest =>
  ({ messages: [{ role: 'user', content: '你好' }], maxTokens: 16, sampling: GREEDY, ...changes }) as GenerateRequest;

async function run(request: GenerateRequest) {
  const events: GenerateEvent[] = [];
  for await (const event of model!.generate(request)) events.push(event);
  const end = events.at(-1);
  if (end?.type !== 'end') throw new Error('no end');
  return { events, end, text: events.flatMap((event) => (event.type === 'token' ? [event.text] : [])).join('') };
}

describe('a reply', () => {
  it('streams with usage, finish reason and log-probabilities', async () => {
    await open(() => ({
      pieces: ['你', '好', '！'],
      logprobs: [-0.5, -0.25, -1],
      usage: { prompt_tokens: 9, completion_tokens: 3, cached: 4 },
    }));
    const { events, end, text } = await run(hello({ sampling: WARM, stop: ['\n'] }));
    expect(text).toBe('你好！');
    expect(events.map((event) => (event.type === 'token' ? event.logprob : event.reason))).toEqual([
      -0.5,
      -0.25,
      -1,
      'stop',
    ]);
    expect(end).toMatchObject({ text, usage: { promptTokens: 9, cachedTokens: 4, completionTokens: 3, computeMs: 0 } });
    expect(end.usage.firstTokenMs).toBeGreaterThan(0);
    expect(server!.asked[0]!.body).toMatchObject({
      model: 'double',
      stream: true,
      temperature: 0.7,
      top_p: 0.8,
      top_k: 20,
      min_p: 0.05,
      repetition_penalty: 1.1,
      seed: 5,
      max_tokens: 16,
      stop: ['\n'],
      messages: [{ role: 'user', content: '你好' }],
    });
  });

  it('says that no log-probabilities and no usage were offered', async () => {
    await open(() => ({ pieces: ['a', 'b'], finish: 'length' }));
    const { events, end } = await run(hello());
    expect(events[0]).toMatchObject({ type: 'token', logprob: Number.NaN });
    expect(end).toMatchObject({ reason: 'length', usage: { promptTokens: 0, completionTokens: 2 } });
  });

  it('continues a raw text', async () => {
    await open(() => ({ pieces: [' upon', ' a time'], finish: 'length' }));
    const { text, end } = await run({ prompt: 'Once', maxTokens: 2, sampling: GREEDY });
    expect({ text, reason: end.reason }).toEqual({ text: ' upon a time', reason: 'length' });
    expect(server!.asked[0]).toMatchObject({ path: '/v1/completions', body: { prompt: 'Once', max_tokens: 2 } });
  });

  it('does not show what the model thought before it spoke', async () => {
    await open(() => ({ pieces: ['<th', 'ink>', 'hm', '</think>', '\n\n', '一', '<think>'] }));
    expect((await run(hello())).end.text).toBe('一<think>');
    expect(server!.asked[0]!.body.chat_template_kwargs).toEqual({ enable_thinking: false });
  });
});

describe('what is sent', () => {
  it('holds nothing of the environment of other programs, and nobody’s name', async () => {
    const others = {
      OPENAI_API_KEY: 'sk-other',
      OPENAI_ORGANIZATION: 'org-other',
      OPENAI_ORG_ID: 'org-other',
      OPENAI_PROJECT_ID: 'proj-other',
      OPENAI_BASE_URL: 'http://localhost:1',
    };
    const before = { ...process.env };
    Object.assign(process.env, others);
    try {
      await open(() => ({ pieces: ['好'] }), {}, { embed: () => [[1]] });
      await run(hello({ person: 'person-7' }));
      await run({ prompt: 'x', maxTokens: 1, sampling: GREEDY });
      await model!.embed(['x']);
    } finally {
      for (const name of Object.keys(others)) delete process.env[name];
      Object.assign(process.env, before);
    }
    expect(server!.asked).toHaveLength(3);
    expect(JSON.stringify(server!.asked)).not.toMatch(/other|person-7/);
  });
});

describe('fields a server does not take', () => {
  const refuse = (name: string): Answer => ({
    status: 400,
    message: `Unrecognized request argument supplied: ${name}`,
  });
  it('are left out one by one, and not sent again', async () => {
    const { logged } = await open(({ body }) => {
      for (const name of ['top_k', 'chat_template_kwargs', 'logprobs', 'seed']) if (name in body) return refuse(name);
      return { pieces: ['好'] };
    });
    expect((await run(hello({ sampling: WARM }))).text).toBe('好');
    const before = server!.asked.length;
    expect(before).toBe(5);
    expect((await run(hello({ sampling: WARM }))).text).toBe('好');
    expect(server!.asked).toHaveLength(before + 1);
    expect(server!.asked.at(-1)!.body).toMatchObject({ temperature: 0.7, stream_options: { include_usage: true } });
    expect(logged).toHaveLength(1);
  });

  it('are all left out when the server does not say which', async () => {
    await open(({ body }) => ('top_k' in body ? { status: 422, message: 'no' } : { pieces: ['好'] }));
    expect((await run(hello({ sampling: WARM }))).text).toBe('好');
    expect(server!.asked).toHaveLength(2);
  });

  it('are not forgotten because of an error that has another reason', async () => {
    const { logged } = await open(() => ({ status: 400, message: 'bad messages' }));
    await expect(run(hello())).rejects.toMatchObject({ code: 'REMOTE_FAILED', message: /bad messages/ });
    expect(logged).toEqual([]);
  });
});

describe('stopping', () => {
  it('in the middle ends with what was said, and hangs up', async () => {
    await open(() => ({ pieces: ['一', '二'], after: 'stall' }));
    const stop = new AbortController();
    const events: GenerateEvent[] = [];
    for await (const event of model!.generate(hello({ signal: stop.signal }))) {
      events.push(event);
      if (event.type === 'token' && event.text === '二') stop.abort();
    }
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'abort', text: '一二' });
    await server!.asked[0]!.hungUp;
  });

  it('before the first word, before the call, by closing, and by not listening on', async () => {
    await open(() => ({ pieces: ['一'], after: 'stall' }));
    expect((await run(hello({ signal: AbortSignal.abort() }))).end).toMatchObject({ reason: 'abort', text: '' });
    const early = new AbortController();
    setTimeout(() => early.abort(), 20);
    server!.asked.length = 0;
    expect((await run(hello({ signal: early.signal }))).end).toMatchObject({ reason: 'abort' });
    for await (const event of model!.generate(hello())) if (event.type === 'token') break;
    await server!.asked.at(-1)!.hungUp;
    const closing = run(hello());
    setTimeout(() => model!.close(), 20);
    expect((await closing).end).toMatchObject({ reason: 'abort' });
  });
});

describe('what goes wrong', () => {
  it.each<[string, Answer, object]>([
    [
      'a wrong key',
      { status: 401, message: `Incorrect API key provided: ${KEY}` },
      { code: 'REMOTE_FAILED', message: /XIAOHE_REMOTE_KEY.*Incorrect API key/s },
    ],
    [
      'an unknown model',
      { status: 404, message: 'The model `double` does not exist' },
      { code: 'REMOTE_FAILED', message: /double.*does not exist/s },
    ],
    ['too many requests', { status: 429, headers: { 'retry-after': '7' } }, { code: 'BUSY', retryAfterMs: 7_000 }],
    ['too many requests, no time given', { status: 429 }, { code: 'BUSY', retryAfterMs: 3_000 }],
    [
      'a server about to restart',
      { status: 503, headers: { 'retry-after': '20' } },
      { code: 'BUSY', retryAfterMs: 20_000 },
    ],
    [
      'a broken server',
      { status: 500, message: 'CUDA out of memory' },
      { code: 'REMOTE_FAILED', message: /CUDA out of memory/ },
    ],
    [
      'a prompt that is too long',
      { status: 400, message: "This model's maximum context length is 4096 tokens" },
      { code: 'CONTEXT_TOO_LONG' },
    ],
    [
      'a cut in the middle',
      { pieces: ['一'], after: 'cut' },
      { code: 'REMOTE_FAILED', message: /connection to .* failed/ },
    ],
    [
      'an end without an end',
      { raw: 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n' },
      { code: 'REMOTE_FAILED', message: /broke off/ },
    ],
    ['garbage', { raw: 'data: {"choices":[{"ind\n\n' }, { code: 'REMOTE_FAILED', message: /cannot be read/ }],
    ['a web page', { raw: '<html>Welcome to nginx</html>' }, { code: 'REMOTE_FAILED', message: /broke off/ }],
    [
      'an error in the stream',
      { raw: 'data: {"error":{"message":"engine died","code":500}}\n\n' },
      { code: 'REMOTE_FAILED', message: /engine died/ },
    ],
    [
      'silence before the first word',
      { delayMs: 1_000, pieces: ['x'] },
      { code: 'REMOTE_FAILED', message: /nothing for 0.4 s/ },
    ],
    [
      'silence in the middle',
      { pieces: ['x'], after: 'stall' },
      { code: 'REMOTE_FAILED', message: /nothing for 0.3 s/ },
    ],
  ])('%s', async (_, answer, expected) => {
    const { logged } = await open(() => answer, { key: KEY });
    const error = await run(hello()).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(error).toMatchObject(
      Object.fromEntries(
        Object.entries(expected).map(([name, value]) => [
          name,
          value instanceof RegExp ? expect.stringMatching(value) : value,
        ]),
      ),
    );
    const { message, cause, stack } = error as Error;
    expect(`${message}${String(cause)}${stack}${logged.join()}`).not.toContain(KEY);
    expect(server!.asked[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it('tries again what passes, a bounded number of times, and nothing that was begun', async () => {
    await open((_, count) => (count < 3 ? { status: 503 } : { pieces: ['好'] }));
    expect((await run(hello())).text).toBe('好');
    expect(server!.asked).toHaveLength(3);
    await server!.close();
    await open(() => ({ status: 502, message: 'no backend' }));
    await expect(run(hello())).rejects.toMatchObject({ message: expect.stringContaining('no backend') });
    expect(server!.asked).toHaveLength(3);
    await server!.close();
    await open(() => ({ pieces: ['一'], after: 'cut' }));
    await expect(run(hello())).rejects.toMatchObject({ code: 'REMOTE_FAILED' });
    expect(server!.asked).toHaveLength(1);
  });

  it('a server that is gone', async () => {
    await open(() => ({ pieces: ['好'] }));
    await server!.close();
    await expect(run(hello())).rejects.toMatchObject({
      code: 'REMOTE_FAILED',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    server = undefined;
  });

  it('a slow first word within the time is no error', async () => {
    await open(() => ({ delayMs: 200, pieces: ['慢'] }));
    expect((await run(hello())).text).toBe('慢');
  });
});

describe('getting to know a server', () => {
  it('takes the first model and what vLLM says of it', async () => {
    await open(
      () => ({}),
      {},
      { models: [{ id: 'Qwen/Qwen3-30B-A3B', owned_by: 'vllm', max_model_len: 8_192 }, { id: 'b' }] },
    );
    expect(model!.info).toMatchObject({
      checkpoint: { name: 'Qwen/Qwen3-30B-A3B', version: 'remote', sha256: '', context: 8_192, parameters: 0 },
      engine: { name: 'remote', device: `vLLM at ${server!.host}`, gpu: false, threads: 0 },
    });
    expect(model!.own).toBe(false);
  });

  it('takes what llama.cpp says, hides paths, and knows a checkpoint of ours', async () => {
    const meta = { n_ctx_train: 1_024, n_params: 13_250_000, n_vocab: 10_240 };
    await open(() => ({}), {}, { models: [{ id: '/home/me/models/seedling.gguf', owned_by: 'llamacpp', meta }] });
    expect(model!.info.checkpoint).toMatchObject({ name: 'seedling.gguf', context: 1_024, parameters: 13_250_000 });
    expect(model!.info.engine.device).toBe(`llama.cpp at ${server!.host}`);
    expect(model!.own).toBe(true);
  });

  it('finds the API of an address without a path, and believes a name that is not listed', async () => {
    server = await startOpenAI({ answer: () => ({ pieces: ['好'] }) });
    const logged: string[] = [];
    model = await openRemote(
      { remote: { url: `http://${server.host}`, model: 'alias' }, log: (_, line) => logged.push(line) },
      QUICK,
    );
    expect((await run(hello())).text).toBe('好');
    expect(server.asked[0]!.body.model).toBe('alias');
    expect(logged).toEqual([expect.stringContaining('does not list')]);
  });

  it('needs a name where there is no list', async () => {
    await expect(open(() => ({}), {}, { models: 404 })).rejects.toMatchObject({
      message: expect.stringContaining('XIAOHE_REMOTE_MODEL'),
    });
    await server!.close();
    await open(() => ({ pieces: ['好'] }), { model: 'm' }, { models: 404 });
    expect((await run(hello())).text).toBe('好');
  });

  it.each([
    [401, 'REMOTE_FAILED'],
    [429, 'BUSY'],
    [500, 'REMOTE_FAILED'],
  ])('ends at a list that answers %i', async (status, code) => {
    await expect(open(() => ({}), { key: KEY }, { models: status })).rejects.toMatchObject({ code });
  });

  it('refuses what is no such server, keys in the address, and missing options', async () => {
    const web = createServer((_, response) => response.end('<html>'));
    await new Promise<void>((resolve) => void web.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    await expect(openRemote({ remote: { url } }, QUICK)).rejects.toMatchObject({
      message: expect.stringContaining('no OpenAI-compatible'),
    });
    web.close();
    const secret = openRemote({ remote: { url: 'http://me:hunter2@localhost/v1' } }, QUICK);
    await expect(secret).rejects.toMatchObject({
      code: 'REMOTE_FAILED',
      message: expect.not.stringContaining('hunter2'),
    });
    await expect(openRemote({}, QUICK)).rejects.toMatchObject({ code: 'REMOTE_FAILED' });
  });

  it('waits for one that is still starting', async () => {
    const late = createServer();
    await new Promise<void>((resolve) => void late.listen(0, '127.0.0.1', resolve));
    const { port } = late.address() as AddressInfo;
    await new Promise((resolve) => late.close(resolve));
    const logged: string[] = [];
    const opening = openRemote(
      { remote: { url: `http://127.0.0.1:${port}` }, log: (_, line) => logged.push(line) },
      { ...QUICK, startMs: 20_000 },
    );
    await expect.poll(() => logged).toEqual([expect.stringContaining('waiting')]);
    const up = createServer((_, response) => response.end('{"data":[{"id":"late"}]}'));
    await new Promise<void>((resolve) => void up.listen(port, '127.0.0.1', resolve));
    expect((await opening).info.checkpoint.name).toBe('late');
    up.close();
    up.closeAllConnections();
  });
});

describe('embeddings', () => {
  it('come back normalised, in order and in batches', async () => {
    await open(() => ({}), {}, { embed: (texts) => texts.map((text) => [text.length, 0, 3]) });
    const texts = Array.from({ length: 100 }, (_, i) => 'x'.repeat(i + 1));
    const rows = await model!.embed(texts);
    expect(rows).toHaveLength(100);
    expect(server!.asked).toHaveLength(2);
    for (const [i, row] of rows.entries()) {
      expect(Math.hypot(...row)).toBeCloseTo(1, 5);
      expect(row[0]! / row[2]!).toBeCloseTo((i + 1) / 3, 4);
    }
    expect(await model!.embed([])).toEqual([]);
  });

  it('are a coded error where a vector stands for a token, not a text', async () => {
    await open(
      () => ({}),
      {},
      {
        embed: () =>
          [
            [
              [1, 2],
              [3, 4],
            ],
          ] as never,
      },
    );
    await expect(model!.embed(['ab'])).rejects.toMatchObject({ code: 'REMOTE_FAILED' });
  });

  it('are a coded error where the server has none', async () => {
    await open(() => ({}));
    await expect(model!.embed(['a'])).rejects.toMatchObject({
      code: 'REMOTE_FAILED',
      message: expect.stringContaining('no embeddings'),
    });
  });
});
