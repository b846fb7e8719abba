/** Server processes on one real PostgreSQL: killed, doubled, and with the database taken away. Nothing is lost or doubled. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Health } from '../../server/protocol.ts';
import { ChatClient, until } from '../support/chat-client.ts';
import { type Cluster, startPostgres } from '../support/postgres.ts';
import { SLOW_PIECES } from '../support/scripted-student.ts';
import { type ServerProcess, startServer } from '../support/server-process.ts';

const WHOLE = Array.from({ length: SLOW_PIECES }, (_, index) => `${index} `).join('');

let cluster: Cluster;
let DATABASE_URL: string;
const processes: ServerProcess[] = [];
const clients: ChatClient[] = [];

beforeAll(async () => {
  cluster = await startPostgres();
  DATABASE_URL = await cluster.createDatabase();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of processes.splice(0)) await server.end('SIGKILL');
});
afterAll(() => cluster?.remove());

async function start(environment: Record<string, string> = {}, options?: { ready?: boolean }): Promise<ServerProcess> {
  const server = await startServer({
    scripted: true,
    environment: { DATABASE_URL, LOG_LEVEL: 'warn', ...environment },
    ready: options?.ready ?? true,
  });
  processes.push(server);
  return server;
}
async function connect(server: ServerProcess, cookie?: string): Promise<ChatClient> {
  const client = await ChatClient.connect(server.url, cookie ? { cookie } : {});
  clients.push(client);
  await client.join();
  return client;
}
const deltas = (client: ChatClient) => client.generationEvents.filter((event) => event.type === 'delta');

describe('chaos on PostgreSQL', () => {
  it('ends the reply of a killed process with what was said, and answers again on request', async () => {
    const first = await start();
    const before = await connect(first);
    const { id } = await before.send('slow');
    await until(() => deltas(before).length >= 3);
    const heard = deltas(before)
      .map((event) => event.text)
      .join('');
    await first.end('SIGKILL');
    const after = await connect(await start(), before.cookie);
    const reply = await after.reply(id);
    expect(reply.generation).toMatchObject({ status: 'failed', error: { code: 'REPLY_INTERRUPTED' } });
    expect(reply.text.startsWith(heard)).toBe(true);
    expect(WHOLE.startsWith(reply.text)).toBe(true);
    const retry = await after.ask('generation.retry', { room: 'me', message: id });
    expect(retry.ok).toBe(true);
    await until(() => after.roomEvents.some((event) => event.type === 'update' && event.message.text === WHOLE));
  });

  it('keeps a running reply over a restart of PostgreSQL', async () => {
    const server = await start();
    const client = await connect(server);
    const { id } = await client.send('slow');
    await until(() => deltas(client).length >= 3);
    cluster.restart();
    const reply = await client.reply(id);
    expect(reply.text).toBe(WHOLE);
    expect(reply.generation?.status).toBe('done');
    const again = await connect(server, client.cookie);
    const joined = await again.join();
    expect('snapshot' in joined && joined.snapshot.messages.map((message) => message.text)).toEqual(['slow', WHOLE]);
    expect((await client.reply((await client.send('还在吗')).id)).text).toBe('回声：还在吗');
    expect(server.child.exitCode).toBeNull();
  });

  it('says so while PostgreSQL is away, and recovers by itself', async () => {
    const server = await start();
    const client = await connect(server);
    cluster.stop();
    try {
      const refused = await client.ask('message.send', { room: 'me', id: crypto.randomUUID(), text: '喂' });
      expect(refused).toMatchObject({ ok: false, error: { code: 'DATABASE_AWAY' } });
      const health = await fetch(`${server.url}/health`);
      expect([health.status, await health.json()]).toMatchObject([
        503,
        { live: true, ready: false, reason: { code: 'DATABASE_AWAY' } },
      ]);
      const session = await fetch(`${server.url}/api/session`, { headers: { cookie: client.cookie } });
      expect([session.status, await session.json()]).toMatchObject([503, { error: { code: 'DATABASE_AWAY' } }]);
    } finally {
      cluster.start();
    }
    await until(async () => (await fetch(`${server.url}/health`)).ok);
    // The socket is closed once when the link between processes is back, so that it catches up; a page joins again.
    await until(() =>
      client.ask('room.join', { room: 'me' }, 2_000).then(
        (reply) => reply.ok,
        () => false,
      ),
    );
    const { id } = await client.send('回来了');
    await until(() => client.roomEvents.some((event) => event.type === 'update' && event.message.replyTo === id));
  });

  it('waits for PostgreSQL at boot, and gives up with a code', async () => {
    cluster.stop();
    try {
      const impatient = await start({ XIAOHE_DATABASE_WAIT: '1' }, { ready: false });
      await until(() => impatient.child.exitCode !== null);
      expect(impatient.child.exitCode).toBe(1);
      expect(impatient.output()).toContain('[DATABASE_AWAY]');
      const patient = await start({}, { ready: false });
      await until(() => patient.output().includes('[DATABASE_AWAY]'));
      cluster.start();
      await until(() => patient.output().includes('http://'));
    } finally {
      try {
        cluster.start();
      } catch {
        // It runs already.
      }
    }
    const lost = await start({ DATABASE_URL: `${DATABASE_URL}_nowhere` }, { ready: false });
    await until(() => lost.child.exitCode !== null);
    expect(lost.output()).toContain('[DATABASE_REFUSED]');
  });

  it('is one chat over two processes: messages, order, Stop', async () => {
    const [one, two] = await Promise.all([start(), start()]);
    const here = await connect(one!);
    const there = await connect(two!, here.cookie);
    const { id } = await here.send('第一 verse recall');
    expect((await there.reply(id)).text).toBe('回声：第一 verse recall');
    await until(() => there.generationEvents.at(-1)?.type === 'end');
    expect(there.generationEvents).toEqual(here.generationEvents);
    // Long texts travel as attachments.
    const long = '长'.repeat(3_900);
    expect((await there.reply((await here.send(long)).id)).text).toBe(`回声：${long}`);

    const slow = await here.send('slow');
    await until(() => there.generationEvents.filter((event) => event.type === 'start').length === 3);
    const { generation } = there.generationEvents.at(-1)!;
    expect(await there.ask('generation.stop', { generation })).toMatchObject({ ok: true });
    expect((await here.reply(slow.id)).generation?.status).toBe('stopped');

    // Replies of one room keep their order whoever makes them.
    const sent = await Promise.all([here.send('slow 甲'), there.send('乙'), here.send('丙'), there.send('丁')]);
    await Promise.all(sent.flatMap(({ id }) => [here.reply(id), there.reply(id)]));
    const runs = await Promise.all([here, there].map((client) => client.join()));
    const texts = runs.map((run) => ('snapshot' in run ? run.snapshot.messages.map((m) => `${m.seq} ${m.text}`) : []));
    expect(texts[0]).toEqual(texts[1]);
    expect(texts[0]).toHaveLength(14);
  });

  it('finishes what it is saying when asked to end', async () => {
    const server = await start();
    const client = await connect(server);
    const { id } = await client.send('slow');
    await until(() => deltas(client).length >= 1);
    const ended = server.end('SIGTERM');
    // A signal and a frame race each other into a process; only once it knows that it is ending must it refuse.
    await until(async () => {
      const health = (await (await fetch(`${server.url}/health`)).json()) as Health;
      return health.reason?.code === 'SHUTTING_DOWN';
    });
    const refused = client.ask('message.send', { room: 'me', id: crypto.randomUUID(), text: '等等' });
    expect(await refused).toMatchObject({ ok: false, error: { code: 'SHUTTING_DOWN' } });
    expect((await client.reply(id)).text).toBe(WHOLE);
    expect(await ended).toBe(0);
  });
});
