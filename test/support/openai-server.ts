/**
 * A server that speaks OpenAI's protocol over real HTTP and says what a test tells it to: a double of the protocol, not of
 * the model. It exists because nothing that runs on a test machine can call tools, refuse fields as other servers do, or
 * break in the middle of a word on request. What real servers do is tested against Xiaohe's own API.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What one request is answered with. */
export interface Answer {
  /** Said in these pieces. */
  pieces?: string[];
  /** Log-probability of each piece. */
  logprobs?: number[];
  calls?: { name: string; arguments: string }[];
  finish?: 'stop' | 'length' | 'tool_calls';
  usage?: { prompt_tokens: number; completion_tokens: number; cached?: number };
  /** An error instead of a reply. */
  status?: number;
  message?: string;
  headers?: Record<string, string>;
  /** Sent as it is instead of events. */
  raw?: string;
  /** Milliseconds before the first byte. */
  delayMs?: number;
  /** After the pieces: close the connection, or say nothing more. */
  after?: 'cut' | 'stall';
}

export interface Asked {
  path: string;
  headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: whatever the client sent, looked at by tests
  body: any;
  /** Resolves when the client hung up before the answer was complete. */
  hungUp: Promise<void>;
}

export interface OpenAIServer {
  url: string;
  host: string;
  asked: Asked[];
  close(): Promise<void>;
}

interface Options {
  /** Entries of `GET /v1/models`; a number is a status to answer instead. */
  models?: Record<string, unknown>[] | number;
  answer?: (asked: Asked, count: number) => Answer;
  embed?: (texts: string[]) => number[][] | Answer;
}

export async function startOpenAI({ models = [{ id: 'double' }], answer, embed }: Options): Promise<OpenAIServer> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const hungUp = new Promise<void>((resolve) => {
      response.once('close', () => {
        if (!response.writableFinished) resolve();
      });
    });
    const path = request.url ?? '';
    if (path === '/v1/models') {
      if (typeof models === 'number') return fail(response, { status: models });
      return json(response, { object: 'list', data: models });
    }
    const one: Asked = { path, headers: request.headers, body: JSON.parse(text), hungUp };
    asked.push(one);
    if (path === '/v1/embeddings' && embed) {
      const rows = embed([one.body.input].flat());
      if (!Array.isArray(rows)) return fail(response, rows);
      return json(response, { object: 'list', data: rows.map((embedding, index) => ({ index, embedding })) });
    }
    if (!answer || !/^\/v1\/(?:chat\/)?completions$/.test(path)) return fail(response, { status: 404 });
    await reply(response, answer(one, asked.length), one);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}/v1`,
    host,
    asked,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function json(response: ServerResponse, body: unknown): void {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
}

function fail(response: ServerResponse, { status = 500, message = `status ${status}`, headers = {} }: Answer): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.statusCode = status;
  json(response, { error: { message, type: 'invalid_request_error', param: null, code: null } });
}

let ids = 0;

async function reply(response: ServerResponse, answer: Answer, { path, body }: Asked): Promise<void> {
  if (answer.delayMs) await sleep(answer.delayMs);
  if (answer.status) return fail(response, answer);
  response.setHeader('content-type', 'text/event-stream');
  if (answer.raw !== undefined) {
    response.end(answer.raw);
    return;
  }
  const chat = path.includes('/chat/');
  const base = {
    id: `x${++ids}`,
    created: 1,
    model: body.model,
    object: chat ? 'chat.completion.chunk' : 'text_completion',
  };
  const send = (event: object) => response.write(`data: ${JSON.stringify({ ...base, ...event })}\n\n`);
  const choice = (delta: object, more: object = {}) => ({ index: 0, delta, finish_reason: null, ...more });
  // As real servers do, the first event names the role.
  if (chat) send({ choices: [choice({ role: 'assistant', content: '' })] });
  for (const [i, text] of (answer.pieces ?? []).entries()) {
    const logprob = answer.logprobs?.[i];
    const scored = body.logprobs && logprob !== undefined && { content: [{ token: text, logprob, top_logprobs: [] }] };
    if (chat) send({ choices: [choice({ content: text }, scored ? { logprobs: scored } : {})] });
    else send({ choices: [{ index: 0, text, finish_reason: null }] });
    // Each piece in a packet of its own, as a model says them.
    await sleep(1);
  }
  if (answer.after === 'stall') return;
  if (answer.after === 'cut') {
    response.destroy();
    return;
  }
  for (const [index, call] of (answer.calls ?? []).entries())
    send({ choices: [choice({ tool_calls: [{ index, id: `call_${index}`, type: 'function', function: call }] })] });
  const finish = answer.finish ?? (answer.calls ? 'tool_calls' : 'stop');
  send({ choices: [chat ? choice({}, { finish_reason: finish }) : { index: 0, text: '', finish_reason: finish }] });
  if (answer.usage && body.stream_options?.include_usage) {
    const { cached, ...usage } = answer.usage;
    const details = cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } };
    send({ choices: [], usage: { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens, ...details } });
  }
  response.end('data: [DONE]\n\n');
}
