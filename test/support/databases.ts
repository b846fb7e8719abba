/** The two databases every database test runs on: `describe.each(DATABASES)`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { type Config, parseConfig } from '../../server/config.ts';
import { type RunningServer, type ServerParts, startServer } from '../../server/main.ts';
import { type Cluster, startPostgres } from './postgres.ts';
import { scriptedMind } from './scripted-student.ts';

export const DATABASES = ['embedded', 'postgres'] as const;
export type DatabaseName = (typeof DATABASES)[number];

export const silent = pino({ level: 'silent' });

export interface TestDatabase {
  config: Config;
  /** The server with the scripted student, unless parts say otherwise. */
  serve(parts?: ServerParts, config?: Partial<Config>): Promise<RunningServer>;
  remove(): Promise<void>;
}

export async function createTestDatabase(name: DatabaseName): Promise<TestDatabase> {
  const directory = mkdtempSync(join(tmpdir(), 'xiaohe-test-'));
  let cluster: Cluster | undefined;
  let url: string | undefined;
  if (name === 'postgres') {
    cluster = await startPostgres();
    url = await cluster.createDatabase();
  }
  const config = parseConfig({
    PORT: '0',
    XIAOHE_DATA_DIR: directory,
    XIAOHE_MESSAGES_PER_10S: '100000',
    ...(url && { DATABASE_URL: url }),
  });
  return {
    config,
    async serve(parts = {}, changes = {}) {
      const server = await startServer({ ...config, ...changes }, { log: silent, openMind: scriptedMind(), ...parts });
      await server.ready;
      return server;
    },
    async remove() {
      cluster?.remove();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
