/**
 * The composition root: the one place where parts are made and wired. Boots in the order a person can follow —
 * configuration, database, migrations, listening (health says not ready), model, ready — and ends in the reverse one.
 */
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino, { type Logger } from 'pino';
import type { Model, ModelInfo } from '../agent/model/index.ts';
import type { Student } from '../agent/types.ts';
import { banner, bootFailure } from './banner.ts';
import { type Config, PROJECT_ROOT, parseConfig } from './config.ts';
import { type DatabaseHandle, migrate, openDatabase } from './db/index.ts';
import { AppError, codeOf, toUserError, wordError } from './errors.ts';
import { createReplies, type Mind, startPulse } from './generations/index.ts';
import {
  addRoutes,
  createApp,
  createCalls,
  createMetrics,
  isOriginAllowed,
  RESTART_MS,
  SESSION_COOKIE,
} from './http/index.ts';
import type { Health } from './protocol.ts';
import * as limits from './realtime/index.ts';
import { createGateway } from './realtime/index.ts';
import { createPublisher } from './rooms/index.ts';

/** Running replies get this long to end after SIGTERM; `docker stop` kills after ten seconds. */
const DRAIN_MS = 7_000;
const VERSION = '0.1.0';

/** What thinks. Tests of the server alone bring their own. */
export interface MindParts {
  student: Student;
  info: ModelInfo;
  /** What the API serves. A student made for a test may have none. */
  model?: Model;
  close(): Promise<void>;
}

export interface RunningServer {
  url: string;
  port: number;
  /** Resolves when the model is loaded; rejects when it cannot be. The server serves in either case. */
  ready: Promise<void>;
  close(drainMs?: number): Promise<void>;
}

export interface ServerParts {
  openMind?: (config: Config, database: DatabaseHandle, log: Logger) => Promise<MindParts>;
  /** Told while the database is awaited at boot. */
  onWait?: (error: unknown) => void;
  /** Told when the server must end: its data directory was taken over. */
  onFatal?: (error: unknown) => void;
  log?: Logger;
}

export async function startServer(config: Config, parts: ServerParts = {}): Promise<RunningServer> {
  const log = parts.log ?? pino({ level: config.logLevel }, pino.destination(2));
  const fatal = parts.onFatal ?? (() => undefined);
  const database = await openDatabase(config, log, {
    wait: parts.onWait ?? (() => undefined),
    lost: (error) => fatal(new AppError('SECOND_PROCESS', error.message, { cause: error })),
  });
  const closers: (() => Promise<unknown>)[] = [() => database.close()];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse())
      await close().catch((err: unknown) => log.warn({ err }, 'closing'));
  };
  try {
    await migrate(database, log);
    return await serve(config, parts, database, log, closers, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function serve(
  config: Config,
  parts: ServerParts,
  database: DatabaseHandle,
  log: Logger,
  closers: (() => Promise<unknown>)[],
  closeAll: () => Promise<void>,
): Promise<RunningServer> {
  const { pool } = database;
  const processId = randomUUID();
  let loaded: MindParts | undefined;
  let loadFailure: unknown;
  let closing = false;
  let mindLoaded!: (mind: Mind | Promise<never>) => void;
  const mind = new Promise<Mind>((resolve) => {
    mindLoaded = resolve;
  });
  mind.catch(() => undefined);

  const app = await createApp({ log, trustProxy: config.trustProxy });
  closers.push(() => app.close());
  const gateway = createGateway(app.server, {
    pool,
    ...(config.databaseUrl && { databaseUrl: config.databaseUrl }),
    tokenOf: (request) => app.parseCookie(request.headers.cookie ?? '')[SESSION_COOKIE],
    isAllowed: (request) => isOriginAllowed(request.headers, config.origins),
    log,
  });
  closers.push(() => gateway.close());
  const calls = createCalls();
  const metrics = createMetrics({
    replies: () => replies.active.length,
    sockets: () => gateway.io.engine.clientsCount,
    databaseWaiting: () => pool.waitingCount,
    apiCalls: () => calls.active,
  });
  const publisher = createPublisher(pool, gateway.broadcast);
  const { broadcast } = gateway;
  const replies = createReplies({
    pool,
    process: processId,
    publisher,
    broadcast,
    log,
    mind: () => mind,
    observe: metrics,
  });

  await addRoutes(app, {
    pool,
    publisher,
    limits: {
      sessions: limits.createLimit(limits.SESSIONS_PER_MINUTE_PER_ADDRESS, 60),
      joins: limits.createLimit(limits.JOINS_PER_MINUTE, 60),
    },
    origins: config.origins,
    clientDirectory: join(PROJECT_ROOT, 'dist/page'),
    health,
    metrics: () => metrics,
    openai: { keys: config.apiKeys, requestsPerMinute: config.apiRequestsPerMinute, calls, model: modelNow },
  });
  gateway.open({
    pool,
    process: processId,
    publisher,
    replies,
    log,
    limits: {
      messages: limits.createLimit(config.messagesPer10s, limits.TEN_SECONDS),
      reads: limits.createLimit(limits.READS_PER_10S, limits.TEN_SECONDS),
      controls: limits.createLimit(limits.CONTROLS_PER_10S, limits.TEN_SECONDS),
    },
  });
  const pulse = await startPulse({
    pool,
    publisher,
    replies,
    log,
    alone: database.kind === 'embedded',
  });
  closers.push(async () => pulse.stop());
  await listen(app, config);
  const { port } = app.server.address() as AddressInfo;
  const ready = loadMind();
  ready.catch(() => undefined);
  return { url: urlOf(config.host, port), port, ready, close };

  async function loadMind(): Promise<void> {
    try {
      const opened = await (parts.openMind ?? openOwnMind)(config, database, log);
      if (closing) return await opened.close();
      loaded = opened;
      closers.push(() => opened.close());
      const { checkpoint, engine } = opened.info;
      mindLoaded({ student: opened.student, checkpoint, engine: `${engine.name} · ${engine.device}` });
    } catch (error) {
      loadFailure = error;
      log.error({ err: error }, 'the model could not be loaded');
      mindLoaded(Promise.reject(error));
      throw error;
    }
  }

  async function health(): Promise<Health> {
    const ok = await database.ping();
    const reason = closing
      ? wordError('SHUTTING_DOWN')
      : !ok
        ? wordError('DATABASE_AWAY')
        : loadFailure
          ? toUserError(loadFailure)
          : loaded
            ? undefined
            : wordError('MODEL_LOADING');
    return {
      live: true,
      ready: reason === undefined,
      ...(reason && { reason }),
      version: VERSION,
      database: { kind: database.kind, ok },
      ...(loaded && { model: describe(loaded) }),
    };
  }

  function modelNow(): Model {
    if (loadFailure) throw loadFailure;
    if (closing || !loaded?.model) throw new AppError('API_NOT_READY', undefined, { retryAfterMs: RESTART_MS });
    return loaded.model;
  }

  async function close(drainMs = DRAIN_MS): Promise<void> {
    if (closing) return;
    closing = true;
    await Promise.all([replies.drain(drainMs), calls.drain(drainMs)]);
    await closeAll();
  }
}

async function openOwnMind(config: Config, database: DatabaseHandle, log: Logger): Promise<MindParts> {
  // Loaded here and not above: these packages take over a second to read, and the page should not wait for them.
  const [{ createStudent }, { openModel }] = await Promise.all([
    import('../agent/index.ts'),
    import('../agent/model/index.ts'),
  ]);
  const report = (level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>) =>
    log[level](fields ?? {}, message);
  const model = await openModel({
    checkpoint: config.checkpoint,
    engine: config.engine,
    ...(config.threads && { threads: config.threads }),
    ...(config.remote && { remote: config.remote }),
    log: report,
  });
  const student = createStudent({ model, db: database.pool, log: report });
  return { student, model, info: model.info, close: () => model.close() };
}

function describe({ info: { checkpoint, engine }, student }: MindParts): NonNullable<Health['model']> {
  return {
    checkpoint: `${checkpoint.name} ${checkpoint.version}`,
    engine: engine.name,
    device: engine.device,
    gpu: engine.gpu,
    parameters: checkpoint.parameters,
    activeParameters: checkpoint.activeParameters,
    context: checkpoint.context,
    age: student.age,
  };
}

async function listen(app: Awaited<ReturnType<typeof createApp>>, { host, port }: Config): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const { code } = error as { code?: string };
    const known = code === 'EADDRINUSE' ? 'PORT_TAKEN' : code?.startsWith('E') ? 'HOST_UNAVAILABLE' : codeOf(error);
    throw new AppError(known, `${host}:${port} (${code ?? 'unknown'})`, { cause: error });
  }
}

function urlOf(host: string, port: number): string {
  const shown = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${shown}:${port}`;
}

function databaseInWords(config: Config): string {
  if (!config.databaseUrl) return `embedded PostgreSQL (PGlite) in ${config.dataDirectory}`;
  const { host, pathname } = new URL(config.databaseUrl);
  return `PostgreSQL at ${host || 'a local socket'}${pathname}`;
}

/** The command line: starts, prints, and ends on a signal. `prepared` is for programs that bring their own parts. */
export async function main(prepared: Pick<ServerParts, 'openMind'> = {}): Promise<void> {
  const began = performance.now();
  const exitWith = (error: unknown): never => {
    process.stderr.write(bootFailure(error));
    process.exit(1);
  };
  try {
    const config = parseConfig();
    let server: RunningServer | undefined;
    let info: { model: ModelInfo; age: number } | undefined;
    const openMind = prepared.openMind ?? openOwnMind;
    server = await startServer(config, {
      openMind: async (...args) => {
        const mind = await openMind(...args);
        info = { model: mind.info, age: mind.student.age };
        return mind;
      },
      onWait: (error) => {
        process.stderr.write(bootFailure(error));
        process.stderr.write(`  正在等它 waiting for it · ${config.databaseWaitSeconds} s …\n`);
      },
      onFatal: exitWith,
    });
    const end = () => void server?.close().then(() => process.exit(0), exitWith);
    process.once('SIGTERM', end);
    process.once('SIGINT', end);
    // Without a model the server stays up: the page and /health say what is wrong, and nothing written is lost.
    await server.ready.catch((error: unknown) => process.stderr.write(bootFailure(error)));
    const seconds = (performance.now() - began) / 1_000;
    process.stdout.write(
      `${banner({ url: server.url, model: info?.model, age: info?.age ?? 6, database: databaseInWords(config), seconds })}\n`,
    );
  } catch (error) {
    exitWith(error);
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
