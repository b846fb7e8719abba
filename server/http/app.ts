/** The HTTP application: cookies, origins, errors, routes. Built before the realtime part, which shares its port. */
import cookie from '@fastify/cookie';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import { AppError, codeOf, statusOf, toUserError, wordError } from '../errors.ts';
import type { Health } from '../protocol.ts';
import { type ApiParts, serveApi } from './api.ts';
import type { Metrics } from './metrics.ts';
import { OPENAI_PREFIX, type OpenAIParts, serveOpenAI } from './openai/index.ts';
import { isOriginAllowed } from './origins.ts';
import { servePages } from './pages.ts';

/** JSON bodies here hold a name or a code. */
const BODY_BYTES = 16_384;
/** A slow client may not keep a connection open for nothing. */
const REQUEST_MS = 30_000;

export interface AppParts extends ApiParts {
  origins: readonly string[];
  clientDirectory: string;
  health: () => Promise<Health>;
  metrics: () => Metrics;
  openai: Omit<OpenAIParts, 'metrics'>;
}

/** `parts` is asked for per request, because the realtime part needs this server to exist first. */
export async function createApp(options: { log: Logger; trustProxy: boolean }): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: options.log,
    // A line a request would drown what matters, and addresses of children need not be kept.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: options.trustProxy,
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_MS,
    forceCloseConnections: true,
  }) as unknown as FastifyInstance;
  await app.register(cookie);
  return app;
}

export async function addRoutes(app: FastifyInstance, parts: AppParts): Promise<void> {
  app.addHook('onRequest', async (request) => {
    if (request.method === 'GET' || request.method === 'HEAD') return;
    // The API knows its callers by key, which no other page can send for them; clients in desktop apps name odd origins.
    if (request.url.startsWith(`${OPENAI_PREFIX}/`)) return;
    if (!isOriginAllowed(request.headers, parts.origins)) throw new AppError('ORIGIN_FORBIDDEN');
  });

  app.setErrorHandler((error, request, reply) => {
    const refused = (error as { statusCode?: number }).statusCode;
    // Fastify's own refusals of a request: bad JSON, wrong content type, too large.
    const known = codeOf(error);
    const code = known === 'INTERNAL' && refused !== undefined && refused < 500 ? 'BAD_FRAME' : known;
    if (code === 'INTERNAL') request.log.error({ err: error, url: request.routeOptions.url }, 'request failed');
    const worded = code === known ? toUserError(error) : wordError(code);
    if (worded.retryAfterMs) reply.header('retry-after', Math.ceil(worded.retryAfterMs / 1_000));
    reply.code(statusOf(code)).send({ error: worded });
  });
  app.setNotFoundHandler((request, reply) => {
    const error = wordError('NOT_FOUND');
    if (request.url.startsWith('/api/')) return reply.code(404).send({ error });
    return reply.code(404).type('text/plain; charset=utf-8').send(`${error.message.zh}\n${error.message.en}\n`);
  });

  app.get('/health', async (_, reply) => {
    const health = await parts.health();
    return reply
      .code(health.ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send(health);
  });
  app.get('/metrics', async (_, reply) => {
    const { registry } = parts.metrics();
    return reply.type(registry.contentType).send(await registry.metrics());
  });
  serveApi(app, parts);
  await serveOpenAI(app, { ...parts.openai, metrics: parts.metrics });
  await servePages(app, parts.clientDirectory);
}
