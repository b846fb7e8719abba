/** Reading a room: a snapshot, the events a reader missed, older messages, and what the model reads as history. */
import { z } from 'zod';
import type { Pool } from '../db/index.ts';
import { AppError } from '../errors.ts';
import { LIMITS, type Member, type Message, type RoomEvent, type Snapshot } from '../protocol.ts';
import { requireMember } from './rooms.ts';
import { SELECT_MEMBERS, SELECT_MESSAGES, viewMember, viewMessage } from './view.ts';

type Queryable = Pick<Pool, 'query'>;
export type RoomState = { seq: number } & ({ snapshot: Snapshot } | { events: RoomEvent[] });

/** One consistent look at a room. With `after`, the events since then if they are not too many. */
export async function readRoom(pool: Pool, room: string, person: string, after?: number): Promise<RoomState> {
  await requireMember(pool, room, person);
  return await consistently(pool, async (client) => {
    const { rows } = await client.query<{ seq: number }>('select seq from rooms where name = $1', [room]);
    const seq = rows[0]?.seq;
    if (seq === undefined) throw new AppError('NO_SUCH_ROOM');
    // A reader ahead of the room has seen another database; only a snapshot can help it.
    if (after !== undefined && after <= seq && seq - after <= LIMITS.replayEvents)
      return { seq, events: after === seq ? [] : await eventsAfter(client, room, after) };
    const [messages, more] = await latestMessages(client, room);
    const members = await client.query(`${SELECT_MEMBERS} where m.room = $1 order by m.joined_at, p.id`, [room]);
    return { seq, snapshot: { messages, members: members.rows.map(viewMember), more } };
  });
}

async function consistently<T>(pool: Pool, read: (client: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query('begin isolation level repeatable read read only');
    const result = await read(client);
    await client.query('commit');
    return result;
  } catch (error) {
    failure = error as Error;
    if (failure instanceof AppError) {
      // Our own finding: the connection is well and goes back to the pool.
      await client.query('rollback').then(
        () => (failure = undefined),
        () => undefined,
      );
    }
    throw error;
  } finally {
    client.release(failure);
  }
}

async function latestMessages(client: Queryable, room: string, before?: number): Promise<[Message[], boolean]> {
  const { rows } = await client.query(
    `${SELECT_MESSAGES} where m.room = $1 and m.seq < $2 order by m.seq desc limit $3`,
    [room, before ?? 2_147_483_647, LIMITS.snapshotMessages + 1],
  );
  const messages = rows.slice(0, LIMITS.snapshotMessages).map(viewMessage).reverse();
  return [messages, rows.length > LIMITS.snapshotMessages];
}

const EventRow = z.object({
  seq: z.int(),
  type: z.enum(['message', 'update', 'member']),
  message: z.uuid().nullable(),
  person: z.uuid().nullable(),
});

/** Events carry what they point at as it is now; folding them therefore ends in the present state. */
async function eventsAfter(client: Queryable, room: string, after: number): Promise<RoomEvent[]> {
  const { rows } = await client.query(
    'select seq, type, message, person from room_events where room = $1 and seq > $2 order by seq',
    [room, after],
  );
  const events = rows.map((row) => EventRow.parse(row));
  const messages = await messagesById(client, idsOf(events.map((event) => event.message)));
  const members = await membersById(client, room, idsOf(events.map((event) => event.person)));
  return events.flatMap((event): RoomEvent[] => {
    if (event.type === 'member') {
      const member = members.get(event.person ?? '');
      return member ? [{ room, seq: event.seq, type: 'member', member }] : [];
    }
    const message = messages.get(event.message ?? '');
    return message ? [{ room, seq: event.seq, type: event.type, message }] : [];
  });
}

function idsOf(ids: (string | null)[]): string[] {
  return [...new Set(ids.filter((id) => id !== null))];
}

export async function messagesById(client: Queryable, ids: string[]): Promise<Map<string, Message>> {
  if (ids.length === 0) return new Map();
  const { rows } = await client.query(`${SELECT_MESSAGES} where m.id = any($1::uuid[])`, [ids]);
  return new Map(rows.map(viewMessage).map((message) => [message.id, message]));
}

export async function membersById(client: Queryable, room: string, ids: string[]): Promise<Map<string, Member>> {
  if (ids.length === 0) return new Map();
  const { rows } = await client.query(`${SELECT_MEMBERS} where m.room = $1 and m.person = any($2::uuid[])`, [
    room,
    ids,
  ]);
  return new Map(rows.map(viewMember).map((member) => [member.id, member]));
}

/** A page of messages before a sequence number, oldest first. */
export async function readHistory(pool: Pool, room: string, person: string, before: number): Promise<Message[]> {
  await requireMember(pool, room, person);
  return (await latestMessages(pool, room, before))[0];
}
