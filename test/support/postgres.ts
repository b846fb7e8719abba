/**
 * A real PostgreSQL for tests: a throw-away cluster on a random port, stopped and removed afterwards. Never skipped:
 * without PostgreSQL the tests say what to install and fail.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';

const DEBIAN = '/usr/lib/postgresql';
const MISSING =
  'These tests need a real PostgreSQL (15 or later). Install it, for example `sudo apt-get install postgresql`, or set PG_BIN to the folder that holds initdb and pg_ctl.';

export interface Cluster {
  /** A URL of a fresh, empty database in this cluster. */
  createDatabase(): Promise<string>;
  stop(mode?: 'fast' | 'immediate'): void;
  start(): void;
  restart(): void;
  remove(): void;
}

function binaries(): string {
  const folders = [
    ...(process.env.PG_BIN ? [process.env.PG_BIN] : []),
    ...(existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : []).map((version) =>
      join(DEBIAN, version, 'bin'),
    ),
    ...(process.env.PATH ?? '').split(':'),
  ];
  const found = folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'pg_ctl')));
  if (!found) throw new Error(MISSING);
  return found;
}

/** PostgreSQL refuses to run as root; Debian's package makes the user `postgres`. */
function asServer(command: string, args: string[]): void {
  const root = process.getuid?.() === 0;
  const [program, all] = root
    ? (['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]] as const)
    : ([command, args] as const);
  // No pipes: the server inherits them and would keep this process waiting.
  const { status, error } = spawnSync(program, all, {
    stdio: 'ignore',
    cwd: '/tmp',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  if (error ?? status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed (${error?.message ?? status}). ${MISSING}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function startPostgres(): Promise<Cluster> {
  const bin = binaries();
  const directory = mkdtempSync('/tmp/xiaohe-pg-');
  if (process.getuid?.() === 0) {
    const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
    chownSync(directory, id('-u'), id('-g'));
  }
  const data = join(directory, 'data');
  const port = await freePort();
  asServer(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync']);
  const start = () =>
    asServer(join(bin, 'pg_ctl'), [
      ...['-D', data, '-w', '-l', join(directory, 'log')],
      ...['-o', `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=${directory} -c fsync=off`],
      'start',
    ]);
  const stop = (mode: 'fast' | 'immediate' = 'fast') =>
    asServer(join(bin, 'pg_ctl'), ['-D', data, '-w', '-m', mode, 'stop']);
  start();
  let databases = 0;
  return {
    async createDatabase() {
      const name = `test_${++databases}`;
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
      await client.connect();
      await client.query(`create database ${name}`);
      await client.end();
      return `postgres://postgres@127.0.0.1:${port}/${name}`;
    },
    start,
    stop,
    restart() {
      stop('fast');
      start();
    },
    remove() {
      try {
        stop('immediate');
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}
