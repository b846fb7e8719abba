/** Opens the database, embedded or real, as one `pg` pool. Knows no tables. */
import pg from 'pg';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { AppError, codeOf, isDatabaseAway } from '../errors.ts';
import { startEmbedded } from './embedded.ts';

export type Pool = pg.Pool;

export interface DatabaseHandle {
  kind: 'embedded' | 'postgres';
  pool: Pool;
  /** True when a trivial query is answered promptly. */
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * One: PGlite has one backend, and pglite-socket interleaves the protocol messages of different connections, so that one
 * connection's unnamed statement replaces another's ("unnamed prepared statement does not exist" under load). A
 * connection of its own per client would add nothing: queries run one at a time either way.
 */
const EMBEDDED_CONNECTIONS = 1;
/** Enough for every room of a school to write at once; below PostgreSQL's default limit with several processes. */
const POSTGRES_CONNECTIONS = 10;
/** Waiting longer for a connection than this means the database is away. */
const CONNECT_MS = 5_000;
/** No query here takes this long; one that does has lost its server. Pages wait ten seconds for an answer. */
const QUERY_MS = 8_000;
const PING_MS = 1_000;
/** Between attempts while waiting for a PostgreSQL at boot. */
const BOOT_RETRY_MS = 500;

/** `onWait` is told once if the database is not there yet; `onLost` if the embedded one was taken over by a process. */
export async function openDatabase(
  config: Config,
  log: Logger,
  on: { wait: (error: unknown) => void; lost: (error: Error) => void },
): Promise<DatabaseHandle> {
  if (!config.databaseUrl) {
    const embedded = await startEmbedded(config.dataDirectory, log, on.lost);
    const { host, port } = embedded;
    const options = { host, port, user: 'postgres', database: 'postgres', max: EMBEDDED_CONNECTIONS };
    return handle('embedded', createPool(options, log), () => embedded.close());
  }
  const pool = createPool({ connectionString: config.databaseUrl, max: POSTGRES_CONNECTIONS }, log);
  try {
    await waitForPostgres(pool, config.databaseWaitSeconds, on.wait);
  } catch (error) {
    await pool.end();
    throw error;
  }
  return handle('postgres', pool, async () => undefined);
}

function createPool(options: pg.PoolConfig, log: Logger): Pool {
  const pool = new pg.Pool({
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    keepAlive: true,
    application_name: 'xiaohe',
    ...options,
  });
  // Without these, a connection cut while idle or in hand ends the process; the next query reports it anyway.
  pool.on('error', (error) => log.warn({ err: error }, 'idle database connection lost'));
  pool.on('connect', (client) => client.on('error', (error) => log.debug({ err: error }, 'database connection lost')));
  return pool;
}

async function waitForPostgres(pool: Pool, seconds: number, onWait: (error: unknown) => void): Promise<void> {
  const deadline = Date.now() + seconds * 1_000;
  for (let attempt = 0; ; attempt++) {
    try {
      await pool.query('select 1');
      return;
    } catch (error) {
      const code = codeOf(error);
      if (!isDatabaseAway(error) || Date.now() >= deadline)
        throw new AppError(code, (error as Error).message, { cause: error });
      if (attempt === 0) onWait(error);
      await new Promise((resolve) => setTimeout(resolve, BOOT_RETRY_MS));
    }
  }
}

function handle(kind: DatabaseHandle['kind'], pool: Pool, after: () => Promise<void>): DatabaseHandle {
  return {
    kind,
    pool,
    async ping() {
      const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), PING_MS).unref());
      const answered = pool.query('select 1').then(
        () => true,
        () => false,
      );
      return await Promise.race([answered, late]);
    },
    async close() {
      await pool.end();
      await after();
    },
  };
}
