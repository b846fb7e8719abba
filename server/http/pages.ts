/** The web app's files, with the headers that keep strangers' scripts out of it. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import helmet from '@fastify/helmet';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { AppError } from '../errors.ts';

/** Routes of the page itself; it draws them. */
const PAGE_ROUTES = ['/', '/classroom', '/studio', '/growth'];
const NONCE_PLACEHOLDER = '__CSP_NONCE__';
/** Vite names these files by their content. */
const ASSET_MAX_AGE = '365d';

const nonces = new WeakMap<ServerResponse, string>();
function nonceOf(response: ServerResponse): string {
  const known = nonces.get(response);
  if (known) return known;
  const nonce = randomBytes(16).toString('base64');
  nonces.set(response, nonce);
  return nonce;
}

export async function servePages(app: FastifyInstance, directory: string): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'", (_, response) => `'nonce-${nonceOf(response as ServerResponse)}'`],
        styleSrc: ["'self'", (_, response) => `'nonce-${nonceOf(response as ServerResponse)}'`],
        imgSrc: ["'self'"],
        fontSrc: ["'self'"],
        // Older Safari does not count WebSockets of the same host as 'self'.
        connectSrc: ["'self'", (request) => webSocketSource(request.headers.host)],
        manifestSrc: ["'self'"],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
        requireTrustedTypesFor: ["'script'"],
        // Svelte's own templates, and the sanitiser every rendered text passes last.
        trustedTypes: ['svelte-trusted-html', 'dompurify'],
      },
    },
    // Whoever ends TLS in front of this server decides about HSTS.
    hsts: false,
  });

  const index = join(directory, 'index.html');
  if (existsSync(directory))
    await app.register(fastifyStatic, {
      root: directory,
      index: false,
      wildcard: true,
      setHeaders(response, path) {
        const hashed = path.startsWith(join(directory, 'assets'));
        response.setHeader('cache-control', hashed ? `public, max-age=${days(ASSET_MAX_AGE)}, immutable` : 'no-cache');
      },
    });

  let page: string | undefined;
  for (const url of [...PAGE_ROUTES, '/index.html'])
    app.get(url, async (_, reply) => {
      if (page === undefined && !existsSync(index)) throw new AppError('PAGE_NOT_BUILT');
      page ??= readFileSync(index, 'utf8');
      return reply
        .type('text/html; charset=utf-8')
        .header('cache-control', 'no-store')
        .send(page.replaceAll(NONCE_PLACEHOLDER, nonceOf(reply.raw)));
    });
}

function days(text: string): number {
  return Number.parseInt(text, 10) * 86_400;
}

/** The Host header comes from outside; only a plain host and port is let into a header of ours. */
function webSocketSource(host: string | undefined): string {
  return host && /^[a-z0-9.:[\]-]+$/i.test(host) ? `ws://${host} wss://${host}` : "'self'";
}
