/**
 * The embedded PostgreSQL: PGlite in a worker thread behind a private socket, so that the same `pg` code talks to it and
 * to a real server. One process only; `directory.ts` keeps the second one out.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { AppError, codeOf } from '../errors.ts';
import { holdDirectory } from './directory.ts';
import type { EmbeddedWorkerData, EmbeddedWorkerMessage } from './embedded-worker.ts';

/** `sun_path` holds 108 bytes on Linux and 104 on macOS; a deep data directory needs its socket elsewhere. */
const SOCKET_PATH_MAX = 100;
const SOCKET_NAME = '.s.PGSQL.5432';
/** Between restarts of a crashed database thread. */
const RESTART_DELAY_MS = 500;
/** Closing writes a checkpoint; past this the log makes up for it at the next start. */
const CLOSE_MS = 5_000;

export interface EmbeddedDatabase {
  host: string;
  port: number;
  close(): Promise<void>;
}

/** Throws DATABASE_BROKEN, DISK_FULL, DATA_DIR_READONLY or SECOND_PROCESS. */
export async function startEmbedded(
  directory: string,
  log: Logger,
  onLost: (error: Error) => void,
): Promise<EmbeddedDatabase> {
  const held = await holdDirectory(directory, onLost);
  const socket = process.platform === 'win32' ? undefined : socketDirectory(directory);
  const dataDirectory = join(directory, 'postgres');
  let worker: Worker | undefined;
  let port = 0;
  let closing = false;

  const start = async (): Promise<void> => {
    if (socket) rmSync(join(socket.path, SOCKET_NAME), { force: true });
    // Other users can reach loopback TCP, so it is used only where there are no Unix sockets.
    const listen = socket ? { path: join(socket.path, SOCKET_NAME) } : { port };
    const next = await startWorker({ dataDirectory, listen });
    worker = next.worker;
    port = next.port;
    worker.on('error', (error) => log.error({ err: error }, 'embedded database crashed'));
    worker.once('exit', () => {
      if (!closing) void restart();
    });
  };
  const restart = async (): Promise<void> => {
    while (!closing) {
      await new Promise((resolve) => setTimeout(resolve, RESTART_DELAY_MS));
      try {
        return await start();
      } catch (error) {
        log.error({ err: error }, 'embedded database did not restart');
      }
    }
  };

  const release = async () => {
    if (socket) rmSync(socket.path, { recursive: true, force: true });
    await held.release();
  };
  try {
    await start();
  } catch (error) {
    await release();
    throw error;
  }
  return {
    host: socket?.path ?? '127.0.0.1',
    port,
    async close() {
      closing = true;
      if (worker) {
        const exited = once(worker, 'exit');
        worker.postMessage('close');
        await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
        await worker.terminate();
      }
      await release();
    },
  };
}

/** Readable by this user alone: the socket asks for no password. */
function socketDirectory(directory: string): { path: string } {
  const inside = join(directory, 'socket');
  if (Buffer.byteLength(join(inside, SOCKET_NAME)) > SOCKET_PATH_MAX)
    return { path: mkdtempSync(join(tmpdir(), 'xiaohe-')) };
  rmSync(inside, { recursive: true, force: true });
  mkdirSync(inside, { mode: 0o700 });
  return { path: inside };
}

async function startWorker(data: EmbeddedWorkerData): Promise<{ worker: Worker; port: number }> {
  const worker = new Worker(workerFile(), { workerData: data, stdout: true, stderr: true });
  const [message] = (await Promise.race([
    once(worker, 'message'),
    once(worker, 'exit').then(() => [{ ready: false, message: 'the database thread ended at once' }]),
  ]).catch((error: unknown) => [{ ready: false, message: String(error) }])) as [EmbeddedWorkerMessage];
  if (message.ready) return { worker, port: message.port };
  await worker.terminate();
  const cause = Object.assign(new Error(message.message), { code: message.code });
  const code = codeOf(cause);
  throw new AppError(code === 'INTERNAL' ? 'DATABASE_BROKEN' : code, `embedded database: ${message.message}`, {
    cause,
  });
}

/** Threads load compiled code: Node 20 cannot read TypeScript, so from the sources the built file beside them is used. */
function workerFile(): string {
  const here = fileURLToPath(new URL('./embedded-worker.js', import.meta.url));
  return import.meta.url.endsWith('.ts') ? here.replace(/server([\\/])db/, 'dist$1server$1db') : here;
}
