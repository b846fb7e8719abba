/**
 * The OpenAI-compatible API as its users meet it: the official client against a real server with the shipped model.
 * Which words she says does not matter here; how they arrive does.
 */
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SHIPPED_CHECKPOINT } from '../../agent/model/index.ts';
import { type RunningServer, startServer } from '../../server/main.ts';
import { createTestDatabase, silent, type TestDatabase } from '../support/databases.ts';
import { scriptedMind } from '../support/scripted-student.ts';

const KEY = 'a-key-of-the-first-program';
const OTHER_KEY = 'a-key-of-the-second-program';
const MODEL = 'xiaohe-seedling';
const ask = (content: string): { role: 'user'; content: string }[] => [{ role: 'user', content }];
/** A reply that would go on for minutes, whatever the model likes to say. */
const ENDLESS = {
  model: MODEL,
  messages: ask('数数'),
  max_tokens: 1_900,
  response_format: {
    type: 'json_schema' as const,
    json_schema: {
      name: 'numbers',
      schema: { type: 'array', items: { type: 'integer' }, minItems: 900, maxItems: 900 },
    },
  },
};

let database: TestDatabase;
let server: RunningServer;
let client: OpenAI;
const clientOf = (running: RunningServer, apiKey = KEY) =>
  new OpenAI({ baseURL: `${running.url}/v1`, apiKey, maxRetries: 0 });

beforeAll(async () => {
  database = await createTestDatabase('embedded');
  const config = { ...database.config, checkpoint: SHIPPED_CHECKPOINT, apiKeys: [KEY, OTHER_KEY] };
  server = await startServer({ ...config, apiRequestsPerMinute: 10_000 }, { log: silent });
  await server.ready;
  client = clientOf(server);
});
afterAll(async () => {
  await server?.close(0);
  await database?.remove();
});

const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${server.url}/v1${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const errorOf = async (response: Response) => ((await response.json()) as { error: Record<string, unknown> }).error;
async function metric(line: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
  return Number(found?.split(' ').at(-1) ?? 0);
}
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(20);
}

describe('models', () => {
  it('are listed and found by name or alias', async () => {
    const { data } = await client.models.list();
    expect(data).toMatchObject([{ id: MODEL, object: 'model', owned_by: 'xiaohe', max_model_len: 2_048 }]);
    expect((await client.models.retrieve(MODEL)).id).toBe(MODEL);
    expect((await client.models.retrieve('xiaohe')).id).toBe(MODEL);
    await expect(client.models.retrieve('gpt-4o')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });
});

describe('chat', () => {
  const seeded = { model: 'xiaohe', messages: ask('你好，你是谁？'), max_tokens: 24, seed: 7, temperature: 1 };

  it('answers, labelled, with usage and the fingerprint of the weights', async () => {
    const { data, response, request_id } = await client.chat.completions.create(seeded).withResponse();
    expect(data).toMatchObject({ object: 'chat.completion', model: MODEL });
    expect(data.id).toMatch(/^chatcmpl-/);
    const [choice] = data.choices;
    expect(choice).toMatchObject({ index: 0, logprobs: null, message: { role: 'assistant', refusal: null } });
    expect(choice!.message.content).not.toBe('');
    expect(['stop', 'length']).toContain(choice!.finish_reason);
    const usage = data.usage!;
    expect(usage.prompt_tokens).toBeGreaterThan(5);
    expect(usage.completion_tokens).toBeGreaterThan(0);
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
    const sha = createHash('sha256')
      .update(await weights())
      .digest('hex');
    expect(data.system_fingerprint).toContain(sha.slice(0, 12));
    expect(response.headers.get('x-xiaohe-ai-generated')).toBe('true');
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('10000');
    expect(Number(response.headers.get('x-ratelimit-remaining-requests'))).toBeLessThan(10_000);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
    expect(request_id).toMatch(/^req_/);
  });

  it('streams the same words a whole reply has, then usage', async () => {
    const whole = await client.chat.completions.create(seeded);
    const stream = await client.chat.completions.create({
      ...seeded,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[0]!.choices[0]!.delta).toMatchObject({ role: 'assistant' });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
    const last = chunks.at(-1)!;
    expect(last.choices).toEqual([]);
    expect(last.usage!.completion_tokens).toBe(whole.usage!.completion_tokens);
    expect(last.usage!.prompt_tokens).toBe(whole.usage!.prompt_tokens);
  });

  it('counts what the prefix cache spared', async () => {
    const long = { ...seeded, messages: ask('我家有一只小猫，它叫豆豆。'.repeat(8)), max_tokens: 1 };
    await client.chat.completions.create(long);
    const { usage } = await client.chat.completions.create(long);
    expect(usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(32);
    expect(usage!.prompt_tokens_details!.cached_tokens).toBeLessThan(usage!.prompt_tokens);
  });

  it('gives n choices, the first what one would have been, and counts the prompt once', async () => {
    const one = await client.chat.completions.create(seeded);
    const two = await client.chat.completions.create({ ...seeded, n: 2 });
    expect(two.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(two.choices[0]!.message.content).toBe(one.choices[0]!.message.content);
    expect(two.usage!.prompt_tokens).toBe(one.usage!.prompt_tokens);
    const texts = ['', ''];
    const stream = await client.chat.completions.create({ ...seeded, n: 2, stream: true });
    for await (const { choices } of stream) for (const { index, delta } of choices) texts[index] += delta.content ?? '';
    expect(texts).toEqual(two.choices.map(({ message }) => message.content));
  });

  it('ends before a stop string', async () => {
    const whole = (await client.chat.completions.create(seeded)).choices[0]!.message.content!;
    const stop = [...whole][3]!;
    const { choices } = await client.chat.completions.create({ ...seeded, stop: [stop, 'never said'] });
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: whole.split(stop)[0] } });
  });

  it('lists log-probabilities of exactly the tokens whose text is there', async () => {
    const { choices } = await client.chat.completions.create({
      ...seeded,
      temperature: 0,
      logprobs: true,
      top_logprobs: 3,
    });
    const content = choices[0]!.logprobs!.content!;
    expect(content.map(({ token }) => token).join('')).toBe(choices[0]!.message.content);
    for (const { token, logprob, bytes, top_logprobs } of content) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(Buffer.from(bytes!).toString()).toBe(token);
      expect(top_logprobs).toHaveLength(3);
      const scores = top_logprobs.map((other) => other.logprob);
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    }
    const streamed = [];
    for await (const chunk of await client.chat.completions.create({
      ...{ ...seeded, temperature: 0, logprobs: true, top_logprobs: 3 },
      stream: true,
    }))
      streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
    expect(streamed).toEqual(content);
  });

  it('keeps to a JSON schema', async () => {
    const Pet = z.object({ name: z.string().max(8), kind: z.enum(['cat', 'dog']), legs: z.int() });
    const completion = await client.chat.completions.parse({
      ...seeded,
      max_tokens: 200,
      response_format: zodResponseFormat(Pet, 'pet'),
    });
    expect(Pet.safeParse(completion.choices[0]!.message.parsed).error).toBeUndefined();
    const loose = await client.chat.completions.create({
      ...seeded,
      max_tokens: 100,
      response_format: { type: 'json_object' },
    });
    expect(JSON.parse(loose.choices[0]!.message.content!)).toBeTypeOf('object');
    await expect(
      client.chat.completions.create({
        ...seeded,
        response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { not: { type: 'string' } } } },
      }),
    ).rejects.toMatchObject({ status: 400, param: 'response_format', code: 'constraint_unsupported' });
  });

  it('reads text parts and a developer as the client sends them', async () => {
    const plain = await client.chat.completions.create({
      ...seeded,
      messages: [{ role: 'system', content: '说话要短。' }, ...ask('一二三四')],
    });
    const parts = await client.chat.completions.create({
      ...seeded,
      messages: [
        { role: 'developer', content: [{ type: 'text', text: '说话要短。' }] },
        {
          role: 'user',
          content: [
            { type: 'text', text: '一二' },
            { type: 'text', text: '三四' },
          ],
        },
      ],
    });
    expect(parts.choices[0]!.message.content).toBe(plain.choices[0]!.message.content);
  });

  it('serves twenty clients at once', async () => {
    const replies = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const own = clientOf(server, index % 2 ? KEY : OTHER_KEY);
        const stream = await own.chat.completions.create({ ...seeded, seed: index, stream: true, max_tokens: 16 });
        let reason: string | null = null;
        for await (const { choices } of stream) reason = choices[0]?.finish_reason ?? reason;
        return reason;
      }),
    );
    expect(replies.every((reason) => reason === 'stop' || reason === 'length')).toBe(true);
  });
});

describe('a client that leaves', () => {
  const written = () => metric('xiaohe_api_tokens_total{kind="completion"}');
  const idle = () => until(async () => (await metric('xiaohe_api_calls_active')) === 0);

  it('stops the reply it was reading', async () => {
    await idle();
    const before = await written();
    const stream = await client.chat.completions.create({ ...ENDLESS, stream: true });
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 4) break;
    await until(async () => (await written()) > before);
    expect((await written()) - before).toBeLessThan(ENDLESS.max_tokens / 2);
    await idle();
  });

  it('stops the replies it was waiting for', async () => {
    await idle();
    const before = await written();
    const abort = new AbortController();
    const answers = Array.from({ length: 3 }, () =>
      client.chat.completions.create(ENDLESS, { signal: abort.signal }).catch((error: unknown) => error),
    );
    await until(async () => (await metric('xiaohe_api_calls_active')) === 3);
    await sleep(200);
    abort.abort();
    for (const answer of await Promise.all(answers)) expect(answer).toBeInstanceOf(OpenAI.APIUserAbortError);
    await idle();
    await until(async () => (await written()) > before);
    // The slots are free: a short question is answered.
    const { choices } = await client.chat.completions.create({ model: MODEL, messages: ask('好'), max_tokens: 2 });
    expect(choices).toHaveLength(1);
    expect((await written()) - before).toBeLessThan(ENDLESS.max_tokens);
    await until(async () => (await metric('xiaohe_api_requests_total{url="/v1/chat/completions",status="499"}')) >= 3);
  });
});

describe('completions', () => {
  it('continues raw text, several at once, streamed or whole', async () => {
    const request = { model: MODEL, prompt: ['床前明月光，', '春眠不觉晓，'], max_tokens: 8, n: 2, seed: 3 };
    const whole = await client.completions.create(request);
    expect(whole).toMatchObject({ object: 'text_completion', model: MODEL });
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(whole.usage!.completion_tokens).toBeLessThanOrEqual(32);
    const texts = ['', '', '', ''];
    for await (const { choices } of await client.completions.create({ ...request, stream: true }))
      for (const { index, text } of choices) texts[index] += text;
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
  });

  it('is what chat says, given the same rendered conversation', async () => {
    const chat = await client.chat.completions.create({
      ...{ model: MODEL, messages: ask('你好'), max_tokens: 12, temperature: 0 },
    });
    const raw = await client.completions.create({
      ...{ model: MODEL, prompt: '<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n' },
      ...{ max_tokens: 12, temperature: 0 },
    });
    expect(raw.choices[0]!.text).toBe(chat.choices[0]!.message.content);
    expect(raw.usage!.prompt_tokens).toBe(chat.usage!.prompt_tokens);
  });

  it('has log-probabilities in the old form', async () => {
    const { choices } = await client.completions.create({
      ...{ model: MODEL, prompt: '小猫', max_tokens: 6, temperature: 0, logprobs: 2 },
    });
    const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]!.logprobs!;
    expect(tokens!.join('')).toBe(choices[0]!.text);
    expect(new Set([tokens, token_logprobs, top_logprobs, text_offset].map((list) => list!.length)).size).toBe(1);
    tokens!.forEach((token, i) => {
      expect(choices[0]!.text.startsWith(token, text_offset![i])).toBe(true);
    });
  });
});

describe('embeddings', () => {
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

  it('are unit vectors, the same in both encodings', async () => {
    const input = ['我家的猫叫豆豆', '三角形有三条边'];
    const packed = await client.embeddings.create({ model: MODEL, input });
    const plain = await client.embeddings.create({ model: MODEL, input, encoding_format: 'float' });
    expect(packed.data.map(({ index }) => index)).toEqual([0, 1]);
    for (const [i, { embedding }] of plain.data.entries()) {
      expect(dot(embedding, embedding)).toBeCloseTo(1, 4);
      expect([...packed.data[i]!.embedding]).toEqual(embedding);
    }
    expect(dot(plain.data[0]!.embedding, plain.data[1]!.embedding)).toBeLessThan(0.999);
  });

  it('refuse what they cannot do', async () => {
    const create = (more: object) => client.embeddings.create({ model: MODEL, input: '好', ...more } as never);
    await expect(create({ input: '' })).rejects.toMatchObject({ status: 400, param: 'input' });
    await expect(create({ input: [1, 2] })).rejects.toMatchObject({ status: 400, param: 'input' });
    await expect(create({ dimensions: 3 })).rejects.toMatchObject({ status: 400, param: 'dimensions' });
    await expect(create({ input: '长'.repeat(3_000) })).rejects.toMatchObject({ code: 'context_length_exceeded' });
    await expect(create({ model: 'text-embedding-3-small' })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

describe('refusals', () => {
  const chat = (more: object) =>
    client.chat.completions.create({ model: MODEL, messages: ask('好'), max_tokens: 2, ...more } as never);

  it.each([
    [{ messages: undefined }, 'messages', 'missing_required_parameter'],
    [{ messages: [] }, 'messages', 'invalid_value'],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role', 'invalid_value'],
    [{ messages: [{ role: 'user', content: 7 }] }, 'messages[0].content', 'invalid_type'],
    [{ messages: [{ role: 'user', content: [{ type: 7 }] }] }, 'messages[0].content[0].type', 'invalid_type'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages[0].content[0]',
      'unsupported_parameter',
    ],
    [{ messages: [{ role: 'tool', content: 'x', tool_call_id: 'y' }] }, 'messages[0].role', 'unsupported_parameter'],
    [{ temperature: 'hot' }, 'temperature', 'invalid_type'],
    [{ temperature: 3 }, 'temperature', 'invalid_value'],
    [{ max_tokens: 0 }, 'max_tokens', 'invalid_value'],
    [{ n: 100 }, 'n', 'invalid_value'],
    [{ stream: 'yes' }, 'stream', 'invalid_type'],
    [{ stop: [''] }, 'stop[0]', 'invalid_value'],
    [{ top_logprobs: 2 }, 'top_logprobs', 'invalid_value'],
    [{ stream_options: { include_usage: true } }, 'stream_options', 'invalid_value'],
    [{ presence_penalty: 0.5 }, 'presence_penalty', 'unsupported_parameter'],
    [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools', 'unsupported_parameter'],
    [{ logit_bias: { 5: 1 } }, 'logit_bias', 'unsupported_parameter'],
    [{ response_format: { type: 'poem' } }, 'response_format.type', 'invalid_type'],
  ])('%j names %s', async (more, param, code) => {
    const error = await chat(more).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ param, code, type: 'invalid_request_error' });
    expect((error as Error).message).toMatch(/\p{Script=Han}/u);
  });

  it('ignores what it does not know, and nulls', async () => {
    const reply = await chat({
      store: true,
      metadata: { a: 'b' },
      stop: null,
      n: null,
      presence_penalty: 0,
      tools: [],
    });
    expect(reply.choices).toHaveLength(1);
  });

  it('of a prompt longer than the context, of a wrong model, of a wrong address', async () => {
    await expect(chat({ messages: ask('很长'.repeat(2_000)) })).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      message: expect.stringContaining('2048'),
    });
    const words = ask('x '.repeat(50_000));
    await expect(chat({ messages: words })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
    await expect(chat({ stream: true, messages: ask('很长'.repeat(2_000)) })).rejects.toMatchObject({ status: 400 });
    await expect(chat({ model: 'gpt-4o' })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.images.generate({ model: MODEL, prompt: '猫' })).rejects.toMatchObject({
      status: 404,
      code: 'unknown_url',
    });
    const wrongMethod = await fetch(`${server.url}/v1/chat/completions`, {
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect([wrongMethod.status, (await errorOf(wrongMethod)).code]).toEqual([404, 'unknown_url']);
  });

  it('of broken, huge and unlabelled bodies', async () => {
    const broken = await post('/chat/completions', '{"model": ');
    expect([broken.status, (await errorOf(broken)).code]).toEqual([400, 'api_body_broken']);
    const huge = await post('/chat/completions', { model: MODEL, messages: ask('x'.repeat(1 << 20)) });
    expect([huge.status, (await errorOf(huge)).code]).toEqual([413, 'api_body_too_large']);
    const form = await post('/completions', 'prompt=x', { 'content-type': 'application/x-www-form-urlencoded' });
    expect([form.status, (await errorOf(form)).code]).toEqual([415, 'api_not_json']);
    const none = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect([none.status, (await errorOf(none)).type]).toEqual([400, 'invalid_request_error']);
  });

  it('of a body that never ends, without reading it all', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest(`${server.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}`, 'transfer-encoding': 'chunked' },
      });
      const feeding = setInterval(() => request.write('x'.repeat(1 << 18)), 5);
      request.once('response', (response) => {
        clearInterval(feeding);
        request.destroy();
        resolve(response.statusCode);
      });
      request.once('error', (error) => {
        clearInterval(feeding);
        reject(error);
      });
    });
    expect(status).toBe(413);
  });
});

describe('keys', () => {
  it('open the door; nothing else does', async () => {
    for (const wrong of ['not-the-key-of-anybody', `${KEY}x`, '密钥密钥'])
      await expect(
        fetch(`${server.url}/v1/models`, { headers: { authorization: encodeURI(`Bearer ${wrong}`) } }),
      ).resolves.toMatchObject({ status: 401 });
    const error = await clientOf(server, 'not-the-key-of-anybody')
      .models.list()
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error).toMatchObject({ code: 'invalid_api_key', message: expect.stringContaining('openssl rand -hex 24') });
  });

  it('are needed whatever the cookie, and work whatever the origin', async () => {
    const session = await fetch(`${server.url}/api/session`, { method: 'POST' });
    const cookie = session.headers.get('set-cookie')!.split(';')[0]!;
    const body = { model: MODEL, prompt: '好', max_tokens: 1 };
    expect((await post('/completions', body, { cookie, authorization: '' })).status).toBe(401);
    const foreign = await post('/completions', body, { origin: 'app://desktop' });
    expect(foreign.status).toBe(200);
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    // And a key is no session.
    const me = await fetch(`${server.url}/api/session`, { headers: { authorization: `Bearer ${KEY}` } });
    expect(me.status).toBe(401);
  });
});

describe('other servers', () => {
  const endings: (() => Promise<void>)[] = [];
  afterAll(() => Promise.all(endings.map((end) => end())));
  async function another(changes: object, parts: object = {}) {
    const own = await createTestDatabase('embedded');
    const running = await startServer({ ...own.config, ...changes }, { log: silent, ...parts });
    endings.push(() => running.close(0).then(() => own.remove()));
    return running;
  }

  it('say how to make a key where there is none', async () => {
    const running = await another({}, { openMind: scriptedMind() });
    const error = await clientOf(running)
      .models.list()
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect((error as Error).message).toMatch(/openssl rand -hex 24.*XIAOHE_API_KEYS[\s\S]*重启/);
  });

  it('hold each key to its rate, say when to come back, and what they are waiting for', async () => {
    const running = await another(
      { apiKeys: [KEY, OTHER_KEY], apiRequestsPerMinute: 3 },
      { openMind: () => new Promise(() => undefined) },
    );
    const own = clientOf(running);
    for (let i = 0; i < 3; i++) {
      const error = await own.models.list().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(OpenAI.InternalServerError);
      expect(error).toMatchObject({ status: 503, code: 'api_not_ready' });
      expect((error as InstanceType<typeof OpenAI.APIError>).headers!.get('retry-after')).toBe('3');
    }
    const refused = await own.models.list().catch((caught: unknown) => caught);
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    const { headers } = refused as InstanceType<typeof OpenAI.RateLimitError>;
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('0');
    await expect(clientOf(running, OTHER_KEY).models.list()).rejects.toMatchObject({ status: 503 });
  });
});

describe('a busy and a stopping server', () => {
  it('turn callers away in a form that clients retry, and end what they were saying', async () => {
    const waiting = Array.from({ length: 8 }, () =>
      client.chat.completions.create({ ...ENDLESS, n: 16 }).catch((error: unknown) => error),
    );
    const refused = (await Promise.race(waiting)) as InstanceType<typeof OpenAI.RateLimitError>;
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    expect(refused.code).toBe('busy');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);

    const stream = await clientOf(server, OTHER_KEY).chat.completions.create({ ...ENDLESS, stream: true });
    const reading = (async () => {
      for await (const _ of stream);
    })().catch((error: unknown) => error);
    await server.close(0);
    const ended = await reading;
    expect(ended).toBeInstanceOf(Error);
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(OpenAI.APIError);
  });
});

async function weights(): Promise<Buffer> {
  const { readFile } = await import('node:fs/promises');
  return readFile(`${SHIPPED_CHECKPOINT}/model.safetensors`);
}
