/** Several processes on one PostgreSQL: events reach everyone's sockets through NOTIFY. */
import { createAdapter } from '@socket.io/postgres-adapter';
import pg from 'pg';
import type { Logger } from 'pino';
import type { Pool } from '../db/index.ts';
import type { ChatServer } from './gateway.ts';

/** PostgreSQL refuses NOTIFY payloads from 8,000 bytes on; the adapter compares with `>`, so its own 8,000 loses some. */
const PAYLOAD_BYTES = 7_900;

/** A NOTIFY that takes longer than this has lost its server; those behind it must not wait for ever. */
const LISTENER = {
  keepAlive: true,
  application_name: 'xiaohe-listen',
  query_timeout: 8_000,
  connectionTimeoutMillis: 5_000,
};

/** Returns what to call at the end. */
export function joinProcesses(io: ChatServer, databaseUrl: string, log: Logger): () => void {
  let listening = 0;
  let leaving = false;
  let listener: pg.Client | undefined;

  /** The adapter keeps one connection for LISTEN and never gives back a broken one, so it gets its own, outside the pool. */
  async function connect(): Promise<pg.Client & { release: () => void }> {
    const client = new pg.Client({ connectionString: databaseUrl, ...LISTENER });
    client.on('error', (error) => log.warn({ err: error }, 'connection between processes lost'));
    client.on('end', () => {
      if (listener === client) listener = undefined;
    });
    await client.connect();
    listener = client;
    connected();
    if (listening++ > 0) setTimeout(reconnectSockets, 0);
    return Object.assign(client, { release: () => void client.end().catch(() => undefined) });
  }

  /** Events of other processes went by unheard; clients that connect anew ask for what they missed. */
  function reconnectSockets(): void {
    log.info('connection between processes is back; sockets reconnect to catch up');
    for (const socket of io.of('/').sockets.values()) socket.conn.close();
  }

  // One connection for all that is sent, so that events leave in the order of their numbers; the pool's would race.
  let connected!: () => void;
  let sending: Promise<unknown> = new Promise<void>((resolve) => {
    connected = resolve;
  });
  const query = (text: string, values?: unknown[]) => {
    const sent = sending.then(() => {
      if (!listener) throw new Error('not connected to the other processes');
      return listener.query(text, values);
    });
    sending = sent.catch(() => undefined);
    return sent;
  };
  const facade = { connect, query };
  io.adapter(
    createAdapter(facade as unknown as Pool, {
      payloadThreshold: PAYLOAD_BYTES,
      errorHandler(error) {
        if (!leaving) log.warn({ err: error }, 'an event did not reach the other processes');
      },
    }),
  );
  return () => {
    leaving = true;
    const last = listener;
    void sending.then(() => last?.end()).catch(() => undefined);
  };
}
