/**
 * The OpenAI-compatible API under /v1: the model itself, for programs. Callers prove themselves by bearer key alone;
 * cookies are not read here, so no page can act in anyone's name.
 */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { GenerateRequest, Model } from '../../../agent/model/index.ts';
import { AppError } from '../../errors.ts';
import type { Metrics } from '../metrics.ts';
import { answer } from './answer.ts';
import { type Call, readChat, readCompletion, readInputs } from './call.ts';
import type { Calls } from './calls.ts';
import { embed } from './embeddings.ts';
import { CLIENT_LEFT, parseBody, sendError, toErrorForm } from './errors.ts';
import { chatFormat, completionFormat, type Format } from './format.ts';
import { createKeys, createRateLimit } from './keys.ts';
import { listing, requireModel, requireShort } from './models.ts';
import { ChatRequest, CompletionRequest, EmbeddingRequest } from './schema.ts';

export { type Calls, createCalls, RESTART_MS } from './calls.ts';

export const OPENAI_PREFIX = '/v1';
/** A megabyte of text is far more than any context here holds; what is larger is a mistake. */
const BODY_BYTES = 1 << 20;

export interface OpenAIParts {
  keys: readonly string[];
  requestsPerMinute: number;
  calls: Calls;
  /** Throws while there is none: loading, failed, stopping. */
  model(): Model;
  metrics(): Metrics;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose key opened the door; '' outside the API. */
    caller: string;
  }
}

export async function serveOpenAI(app: FastifyInstance, parts: OpenAIParts): Promise<void> {
  await app.register(async (api) => routes(api, parts), { prefix: OPENAI_PREFIX });
}

function routes(api: FastifyInstance, { calls, model, metrics, ...parts }: OpenAIParts): void {
  const keys = createKeys(parts.keys);
  const rate = createRateLimit(parts.requestsPerMinute);
  const created = Math.floor(Date.now() / 1_000);

  api.decorateRequest('caller', '');
  const log = (request: FastifyRequest, error: unknown) => {
    if (toErrorForm(error).status === 500)
      request.log.error({ err: error, url: request.routeOptions.url }, 'request failed');
  };
  api.setErrorHandler((error, request, reply) => {
    log(request, error);
    sendError(reply, error);
  });
  api.addHook('onRequest', async (request, reply) => {
    const began = performance.now();
    // Not Fastify's onResponse, which never hears of a client that left.
    reply.raw.once('close', () => {
      const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_LEFT;
      metrics().apiRequest(request.routeOptions.url ?? '', status, performance.now() - began);
    });
    reply.header('x-request-id', `req_${randomUUID()}`);
    request.caller = keys.personOf(request.headers.authorization);
    const { headers, refusal } = await rate.take(request.caller);
    reply.headers(headers);
    if (refusal) throw refusal;
  });

  api.get('/models', async () => ({ object: 'list', data: [listing(model().info, created)] }));
  api.get<{ Params: { id: string } }>('/models/:id', async ({ params }) => {
    const { info } = model();
    requireModel(info, params.id);
    return listing(info, created);
  });

  const generation = <Body extends { model: string }>(
    url: string,
    parse: (body: unknown) => Body,
    read: (body: Body, person: string) => Call,
    format: Format,
  ) =>
    api.post(url, { bodyLimit: BODY_BYTES }, async (request: FastifyRequest, reply: FastifyReply) => {
      const body = parse(request.body);
      const speaker = model();
      requireModel(speaker.info, body.model);
      const call = read(body, request.caller);
      requireShort(speaker.info, call.requests.map(textOf));
      const signal = calls.begin(reply.raw);
      return await answer(reply, call, format, {
        model: speaker,
        signal,
        count: (usage) => metrics().apiTokens(usage),
        broke: (error) => log(request, error),
      });
    });
  generation('/chat/completions', (body) => parseBody(ChatRequest, body), readChat, chatFormat);
  generation('/completions', (body) => parseBody(CompletionRequest, body), readCompletion, completionFormat);

  api.post('/embeddings', { bodyLimit: BODY_BYTES }, async (request, reply) => {
    const body = parseBody(EmbeddingRequest, request.body);
    const embedder = model();
    requireModel(embedder.info, body.model);
    const texts = readInputs(body);
    requireShort(embedder.info, texts);
    return await embed(texts, body, embedder, calls.begin(reply.raw));
  });
  // The page's files would answer otherwise, in a form no client of this API reads.
  api.all('/*', async () => {
    throw new AppError('API_URL_UNKNOWN');
  });
}

function textOf(request: GenerateRequest): string {
  return 'prompt' in request ? request.prompt : request.messages.map(({ content }) => content).join('');
}
