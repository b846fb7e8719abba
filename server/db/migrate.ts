/** Brings the schema up to date: numbered plain SQL files in `migrations/`, each applied once, all in one transaction. */
import { join } from 'node:path';
import { runner } from 'node-pg-migrate';
import type { Logger } from 'pino';
import { PROJECT_ROOT } from '../config.ts';
import { AppError, isDatabaseAway } from '../errors.ts';
import type { DatabaseHandle } from './pool.ts';

const DIRECTORY = join(PROJECT_ROOT, 'migrations');

export async function migrate(database: DatabaseHandle, log: Logger): Promise<void> {
  const client = await database.pool.connect();
  let failure: Error | undefined;
  try {
    await runner({
      dbClient: client,
      dir: DIRECTORY,
      migrationsTable: 'migrations',
      direction: 'up',
      singleTransaction: true,
      // An advisory lock keeps two booting processes apart. PGlite's one backend always grants it, but there the data
      // directory is already held by one process.
      noLock: database.kind === 'embedded',
      advisoryLockMode: 'wait',
      log: (line) => log.info(line),
    });
  } catch (error) {
    failure = error as Error;
    if (isDatabaseAway(error)) throw error;
    throw new AppError('MIGRATION_FAILED', failure.message, { cause: error });
  } finally {
    client.release(failure);
  }
}
