/** Sending, order, idempotency, replies, refusals: one server, on both databases. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../server/main.ts';
import { LIMITS } from '../../server/protocol.ts';
import { ChatClient, until } from '../support/chat-client.ts';
import { createTestDatabase, DATABASES, type TestDatabase } from '../support/databases.ts';

describe.each(DATABASES)('messages on %s', (name) => {
  let database: TestDatabase;
  let server: RunningServer;
  const clients: ChatClient[] = [];

  beforeAll(async () => {
    database = await createTestDatabase(name);
    server = await database.serve();
  });
  afterAll(async () => {
    await server?.close(0);
    await database?.remove();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  async function visitor(options?: { name?: string; cookie?: string }): Promise<ChatClient> {
    const client = await ChatClient.connect(server.url, options);
    clients.push(client);
    return client;
  }

  it('answers a message with a streamed reply that ends as stored', async () => {
    const client = await visitor({ name: '小明' });
    const joined = await client.join();
    expect(joined).toMatchObject({ room: `me:${client.you.id}`, seq: 1, you: { name: '小明' }, running: [] });
    const { id, seq } = await client.send('  你好 learn recall verse ');
    expect(seq).toBe(2);
    const reply = await client.reply(id);
    const text = '回声：你好 learn recall verse';
    expect(reply).toMatchObject({ text, replyTo: id, author: { kind: 'student', name: '小禾' } });
    expect(reply.generation).toMatchObject({
      status: 'done',
      checkpoint: 'scripted',
      recalled: [{ teacher: '小明', message: id }],
      verse: { rules: [{ id: 'length', ok: true }] },
      usage: { promptTokens: 1, energyJ: 0.5, measured: false },
    });
    const events = client.generationEvents.filter((event) => event.message === reply.id);
    expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.map((event) => (event.type === 'delta' ? event.text : '')).join('')).toBe(text);
    expect(events.at(-1)).toMatchObject({ type: 'end', status: 'done', seq: reply.generation!.lastSeq });
    const learned = client.roomEvents.find((event) => event.type === 'update' && event.message.id === id);
    expect(learned).toMatchObject({ message: { learned: [{ text: '你好 learn recall verse' }] } });
    expect(client.roomEvents.map((event) => event.seq)).toEqual([2, 3, 4, 5]);
  });

  it('stores a message sent twice once, and refuses its id to another person', async () => {
    const client = await visitor();
    await client.join();
    const id = randomUUID();
    const first = await client.send('一次', 'me', id);
    expect(await client.send('一次', 'me', id)).toEqual(first);
    const [a, b] = await Promise.all([client.send('并行', 'me', id), client.send('一次', 'me', id)]);
    expect([a.seq, b.seq]).toEqual([first.seq, first.seq]);
    const thief = await visitor();
    expect(await thief.ask('message.send', { room: 'me', id, text: '我的' })).toMatchObject({
      ok: false,
      error: { code: 'MESSAGE_ID_TAKEN' },
    });
    await client.reply(id);
    const { seq, snapshot } = (await client.join()) as { seq: number; snapshot: { messages: unknown[] } };
    expect(snapshot.messages).toHaveLength(2);
    expect(seq).toBe(4);
  });

  it('shows two people in one class the same order, and nobody else anything', async () => {
    const teacher = await visitor({ name: '老师' });
    const { room, code } = await teacher.post<{ room: string; code: string }>('/api/rooms', { kind: 'class' });
    const pupil = await visitor({ name: '学生' });
    expect(await pupil.ask('room.join', { room })).toMatchObject({ ok: false, error: { code: 'NOT_A_MEMBER' } });
    expect(await pupil.post('/api/rooms/join', { code })).toMatchObject({ room });
    await Promise.all([teacher.join(room), pupil.join(room)]);
    const outsider = await visitor();
    await outsider.join();
    const sent = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 ? teacher : pupil).send(`第${index}条`, room)),
    );
    await until(() =>
      [teacher, pupil].every((client) => client.roomEvents.filter((e) => e.type === 'update').length >= 20),
    );
    const orderSeenBy = (client: ChatClient) =>
      client.roomEvents.flatMap((event) => (event.type === 'message' ? [`${event.seq} ${event.message.text}`] : []));
    expect(orderSeenBy(pupil)).toEqual(orderSeenBy(teacher));
    expect(new Set(sent.map((message) => message.seq)).size).toBe(20);
    for (const { roomEvents } of [teacher, pupil])
      expect(roomEvents.map((event) => event.seq)).toEqual([...roomEvents.map((e) => e.seq)].sort((a, b) => a - b));
    expect(outsider.roomEvents).toEqual([]);
    expect(await outsider.ask('room.history', { room, before: 99 })).toMatchObject({ error: { code: 'NOT_A_MEMBER' } });
    expect(await outsider.ask('message.send', { room, id: randomUUID(), text: '偷看' })).toMatchObject({
      error: { code: 'NOT_A_MEMBER' },
    });
  });

  it('answers every bad frame with a code and lives on', async () => {
    const client = await visitor();
    await client.join();
    const id = randomUUID();
    const code = async (event: string, payload: unknown) => {
      const reply = await client.ask(event as 'message.send', payload);
      return reply.ok ? 'ok' : reply.error.code;
    };
    expect(await code('message.send', { room: 'me', id, text: '   ' })).toBe('MESSAGE_EMPTY');
    expect(await code('message.send', { room: 'me', id, text: '\0' })).toBe('MESSAGE_EMPTY');
    expect(await code('message.send', { room: 'me', id, text: 'x'.repeat(100_000) })).toBe('MESSAGE_TOO_LONG');
    expect(await code('message.send', { room: 'me', id, text: 'x'.repeat(LIMITS.messageChars + 1) })).toBe(
      'MESSAGE_TOO_LONG',
    );
    for (const garbage of [
      null,
      1,
      'text',
      [],
      {},
      { room: 'me' },
      { room: 'me', id: 'no', text: 'x' },
      { room: 'me', id, text: 'x', more: 1 },
    ])
      expect(await code('message.send', garbage)).toBe('BAD_FRAME');
    expect(await code('room.join', { room: 'kitchen' })).toBe('BAD_FRAME');
    expect(await code('room.join', { room: `class:${randomUUID()}` })).toBe('NO_SUCH_ROOM');
    expect(await code('message.send', { room: `class:${randomUUID()}`, id, text: 'x' })).toBe('NO_SUCH_ROOM');
    expect(await code('generation.stop', { generation: randomUUID() })).toBe('NO_SUCH_GENERATION');
    expect(await code('generation.retry', { room: 'me', message: randomUUID() })).toBe('NO_SUCH_MESSAGE');
    expect(await code('no.such.event', {})).toBe('BAD_FRAME');
    const raw = client.socket as unknown as { emit(event: string, ...frame: unknown[]): void };
    raw.emit('message.send', { no: 'ack' });
    raw.emit('message.send');
    const sent = await client.send('还好吗？\u0000\uD800', 'me', id);
    expect((await client.reply(sent.id)).text).toBe('回声：还好吗？\uFFFD');
  });

  it('survives a frame beyond the limit: the connection closes, the client comes back', async () => {
    const client = await visitor();
    await client.join();
    const lost = new Promise((resolve) => client.socket.once('disconnect', resolve));
    client.socket.emit(
      'message.send',
      { room: 'me', id: randomUUID(), text: 'x'.repeat(LIMITS.frameBytes + 1) },
      () => {},
    );
    expect(await lost).toBe('transport close');
    await until(() => client.socket.connected);
    await client.join();
    expect((await client.reply((await client.send('我回来了')).id)).text).toBe('回声：我回来了');
  });

  it('sets aside replies that were withheld, broke or carry a notice', async () => {
    const client = await visitor();
    await client.join();
    const withheld = await client.reply((await client.send('withhold')).id);
    expect(withheld).toMatchObject({ text: '', generation: { status: 'withheld', error: { code: 'REPLY_WITHHELD' } } });
    const { id } = await client.send('crash');
    const broken = await client.reply(id);
    expect(broken.generation).toMatchObject({ status: 'failed', error: { code: 'ENGINE_CRASHED' } });
    expect(client.generationEvents.at(-1)).toMatchObject({ type: 'error', error: { code: 'ENGINE_CRASHED' } });
    const again = await client.ask('generation.retry', { room: 'me', message: id });
    expect(again).toMatchObject({ ok: true });
    await until(() => client.roomEvents.filter((e) => e.type === 'update' && e.message.replyTo === id).length === 2);
    const { id: noticed } = await client.send('notice');
    await client.reply(noticed);
    const { snapshot } = (await client.join()) as {
      snapshot: { messages: { id: string; notice?: { code: string } }[] };
    };
    expect(snapshot.messages.find((message) => message.id === noticed)?.notice?.code).toBe('SAFETY_DISTRESS');
  });

  it('tells the mind the room before it, without broken or superseded replies', async () => {
    const client = await visitor({ name: '小红' });
    await client.join();
    for (const text of ['早', 'crash', 'withhold']) await client.reply((await client.send(text)).id);
    const { text } = await client.reply((await client.send('history')).id);
    expect(JSON.parse(text.slice('回声：history'.length))).toEqual([
      { role: 'person', name: '小红', text: '早' },
      { role: 'student', name: '小禾', text: '回声：早' },
      { role: 'person', name: '小红', text: 'crash' },
      { role: 'person', name: '小红', text: 'withhold' },
    ]);
  });

  it('stops a reply at once, even one whose mind does not listen', async () => {
    const client = await visitor();
    await client.join();
    for (const text of ['slow', 'slow hang']) {
      const { id } = await client.send(text);
      await until(() =>
        client.generationEvents.some((e) => e.type === 'delta' && e.room && isReplyTo(client, e.message, id)),
      );
      const generation = client.generationEvents.at(-1)!.generation;
      expect(await client.ask('generation.stop', { generation })).toMatchObject({ ok: true });
      const reply = await client.reply(id);
      expect(reply.generation?.status).toBe('stopped');
      expect(reply.text).toMatch(/^0 /);
      expect(await client.ask('generation.stop', { generation })).toMatchObject({ ok: true });
    }
    const stranger = await visitor();
    const { generation } = client.generationEvents.at(-1)!;
    expect(await stranger.ask('generation.stop', { generation })).toMatchObject({
      error: { code: 'NO_SUCH_GENERATION' },
    });
  });

  it('runs the replies of one room one after another', async () => {
    const client = await visitor();
    await client.join();
    const sent = await Promise.all(['slow 1', 'b', 'c'].map((text) => client.send(text)));
    for (const { id } of sent) await client.reply(id);
    const ends = client.generationEvents.filter((event) => event.type === 'start' || event.type === 'end');
    expect(ends.map((event) => event.type)).toEqual(['start', 'end', 'start', 'end', 'start', 'end']);
  });
});

function isReplyTo(client: ChatClient, reply: string, message: string): boolean {
  return client.roomEvents.some((e) => e.type === 'message' && e.message.id === reply && e.message.replyTo === message);
}
