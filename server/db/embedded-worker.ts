/**
 * Runs inside a worker thread: PGlite behind a PostgreSQL socket. WebAssembly is synchronous, so in the main thread every
 * query would stop the event loop. Started only by `embedded.ts`.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';

export interface EmbeddedWorkerData {
  dataDirectory: string;
  /** A Unix socket path, or a loopback TCP port (0: any) where there are none. */
  listen: { path: string } | { port: number };
}
export type EmbeddedWorkerMessage = { ready: true; port: number } | { ready: false; message: string; code?: string };

/** The pool holds one connection; the others are for an engineer's `psql` and for a reconnect racing its old socket. */
const MAX_CONNECTIONS = 4;

const { dataDirectory, listen } = workerData as EmbeddedWorkerData;
const port = parentPort!;

try {
  const db = await PGlite.create({ dataDir: dataDirectory });
  const run = db.execProtocolRawStream.bind(db);
  // SQL errors travel in the protocol; what throws here is a crashed WebAssembly instance, after which pglite-socket's
  // queue never moves again. Ending the thread lets the parent start a fresh one, which recovers from the log.
  db.execProtocolRawStream = async (...call) => {
    try {
      await run(...call);
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
      throw error;
    }
  };
  const server = new PGLiteSocketServer({ db, maxConnections: MAX_CONNECTIONS, ...listen });
  await server.start();
  port.once('message', async () => {
    await server.stop();
    await db.close();
    port.close();
  });
  const bound = Number(server.getServerConn().split(':').at(-1));
  port.postMessage({ ready: true, port: Number.isNaN(bound) ? 5432 : bound } satisfies EmbeddedWorkerMessage);
} catch (error) {
  const { message, code } = error as Error & { code?: string };
  port.postMessage({
    ready: false,
    message: message ?? String(error),
    ...(code && { code }),
  } satisfies EmbeddedWorkerMessage);
  port.close();
}
