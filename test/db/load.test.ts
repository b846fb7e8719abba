/** A thousand messages at once from one impatient client: limited, retried, and in the end each stored exactly once. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../server/db/index.ts';
import type { RunningServer } from '../../server/main.ts';
import { ChatClient } from '../support/chat-client.ts';
import { createTestDatabase, DATABASES, silent, type TestDatabase } from '../support/databases.ts';

const MESSAGES = 1_000;
/** A thousand replies are written, too; on a busy machine that takes minutes. */
const LIMIT_MS = 400_000;

describe.each(DATABASES)('a flood on %s', (name) => {
  let database: TestDatabase;
  let server: RunningServer;

  beforeAll(async () => {
    database = await createTestDatabase(name);
    server = await database.serve({}, { messagesPer10s: 600 });
  });
  afterAll(async () => {
    await server?.close(0);
    await database?.remove();
  });

  it(
    'loses and doubles nothing',
    async () => {
      const client = await ChatClient.connect(server.url);
      await client.join();
      const refusals: Record<string, number> = {};
      const seqs = await Promise.all(
        Array.from({ length: MESSAGES }, async (_, index) => {
          const id = randomUUID();
          for (;;) {
            const reply = await client.ask('message.send', { room: 'me', id, text: `${index}` });
            if (reply.ok) return reply.seq;
            refusals[reply.error.code] = (refusals[reply.error.code] ?? 0) + 1;
            expect(reply.error.retryAfterMs).toBeGreaterThan(0);
            await sleep(reply.error.retryAfterMs! + Math.random() * 200);
          }
        }),
      );
      expect(new Set(seqs).size).toBe(MESSAGES);
      expect(refusals.RATE_LIMITED).toBeGreaterThan(0);
      expect(Object.keys(refusals).sort()).toEqual(expect.arrayContaining(['RATE_LIMITED']));
      expect(Object.keys(refusals).filter((code) => !['RATE_LIMITED', 'BUSY'].includes(code))).toEqual([]);
      const health = await fetch(`${server.url}/health`);
      expect(health.status).toBe(200);
      client.close();
      await server.close();
      const { pool, close } = await openDatabase(database.config, silent, {
        wait: () => undefined,
        lost: () => undefined,
      });
      const { rows } = await pool.query(
        `select count(*)::int as said, count(distinct text)::int as texts, min(seq)::int as first, max(seq)::int as last
       from messages where author is not null`,
      );
      expect(rows[0]).toMatchObject({ said: MESSAGES, texts: MESSAGES });
      const all = await pool.query(`select count(*)::int as n, count(distinct seq)::int as seqs from messages`);
      expect(all.rows).toEqual([{ n: 2 * MESSAGES, seqs: 2 * MESSAGES }]);
      await close();
    },
    LIMIT_MS,
  );
});
