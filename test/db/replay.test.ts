/**
 * A reader that fell behind catches up to exactly what a fresh reader sees: a snapshot at any point, folded by the page's
 * own code over the events after it, equals the snapshot at the end. And a reader cut off mid-reply loses nothing.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldRoom, fromSnapshot } from '../../client/chat/room.ts';
import type { RunningServer } from '../../server/main.ts';
import { type JoinReply, LIMITS, type RoomEvent, type Snapshot } from '../../server/protocol.ts';
import { ChatClient, until } from '../support/chat-client.ts';
import { createTestDatabase, DATABASES, type TestDatabase } from '../support/databases.ts';

type WithSnapshot = JoinReply & { snapshot: Snapshot };
type WithEvents = JoinReply & { events: RoomEvent[] };

/** Each run makes a room of its own on a real database. */
const RUNS = 8;

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      who: fc.nat(1),
      text: fc.constantFrom(
        '早',
        'learn 猫叫豆豆',
        'recall',
        'verse',
        'withhold',
        'crash',
        'notice',
        '😀\u0000',
        'history',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('retry' as const), who: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const), who: fc.nat(1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('rename' as const),
      who: fc.nat(1),
      name: fc.constantFrom('甲', '乙', '丙'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
);

describe.each(DATABASES)('replay on %s', (name) => {
  let database: TestDatabase;
  let server: RunningServer;

  beforeAll(async () => {
    database = await createTestDatabase(name);
    server = await database.serve();
  });
  afterAll(async () => {
    await server?.close(0);
    await database?.remove();
  });

  it('folds any earlier snapshot into the present one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), async (actions) => {
        const people = await Promise.all(['老师', '学生'].map((who) => ChatClient.connect(server.url, { name: who })));
        const [teacher, pupil] = people as [ChatClient, ChatClient];
        const { room, code } = await teacher.post<{ room: string; code: string }>('/api/rooms', { kind: 'class' });
        const looks = [(await teacher.join(room)) as WithSnapshot];
        await pupil.post('/api/rooms/join', { code });
        const entered = (await pupil.join(room)) as WithSnapshot;
        const sent: string[] = [];
        for (const step of actions) {
          const who = step.do === 'look' ? teacher : people[step.who]!;
          if (step.do === 'send') sent.push((await who.send(step.text, room)).id);
          if (step.do === 'retry' && sent.length > 0) await who.ask('generation.retry', { room, message: sent.at(-1) });
          if (step.do === 'stop') {
            const generation = who.generationEvents.at(-1)?.generation;
            if (generation) await who.ask('generation.stop', { generation });
          }
          if (step.do === 'rename') await who.post('/api/session', { name: step.name });
          if (step.do === 'look') looks.push((await teacher.join(room)) as WithSnapshot);
        }
        await until(async () => (await teacher.join(room)).running.length === 0);
        const last = (await teacher.join(room)) as WithSnapshot;
        for (const look of looks) {
          const { events } = (await teacher.join(room, look.seq)) as WithEvents;
          expect(events.map((event) => event.seq)).toEqual(
            Array.from({ length: last.seq - look.seq }, (_, index) => look.seq + 1 + index),
          );
          expect(events.reduce(foldRoom, fromSnapshot(look.snapshot))).toEqual(fromSnapshot(last.snapshot));
        }
        // What was heard live tells the same story.
        const heard = () => pupil.roomEvents.filter((event) => event.seq > entered.seq);
        await until(() => (heard().at(-1)?.seq ?? entered.seq) === last.seq);
        expect(heard().reduce(foldRoom, fromSnapshot(entered.snapshot))).toEqual(fromSnapshot(last.snapshot));
        for (const client of people) client.close();
      }),
      { numRuns: RUNS },
    );
  });

  it('goes on with a running reply after a cut, without a gap or a repeat', async () => {
    const first = await ChatClient.connect(server.url);
    await first.join();
    const { id } = await first.send('slow');
    await until(() => first.generationEvents.filter((event) => event.type === 'delta').length >= 3);
    first.close();
    const again = await ChatClient.connect(server.url, { cookie: first.cookie });
    const joined = (await again.join()) as WithSnapshot;
    const [running] = joined.running;
    expect(running).toBeDefined();
    const { text, generation } = running!;
    const reply = await again.reply(id);
    const after = again.generationEvents.filter((event) => event.seq > generation.lastSeq);
    expect(after.map((event) => event.seq)).toEqual(after.map((_, index) => generation.lastSeq + 1 + index));
    expect(text + after.map((event) => (event.type === 'delta' ? event.text : '')).join('')).toBe(reply.text);
    expect(joined.snapshot.messages.at(-1)).toMatchObject({ text: '', generation: { status: 'running', lastSeq: 0 } });
    again.close();
  });

  it('sends a snapshot when the reader is too far behind or from another database, and pages older messages', async () => {
    const client = await ChatClient.connect(server.url);
    await client.join();
    for (let index = 0; index < 70; index++) await client.reply((await client.send(`${index}`)).id);
    const { seq, snapshot } = (await client.join()) as WithSnapshot;
    expect(snapshot.messages).toHaveLength(LIMITS.snapshotMessages);
    expect(snapshot.more).toBe(true);
    const before = snapshot.messages[0]!.seq;
    const older = await client.ask('room.history', { room: 'me', before });
    const page = older.ok ? older.messages : [];
    expect(page).toHaveLength(40);
    expect(page.at(-1)!.seq).toBeLessThan(before);
    expect(await client.join('me', seq)).toMatchObject({ events: [] });
    expect(await client.join('me', seq + 1)).toHaveProperty('snapshot');
    client.close();
  });
});
