/** Which rooms exist and who is in them: opening, entering by join code, listing. */
import { randomInt, randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Pool } from '../db/index.ts';
import { AppError } from '../errors.ts';
import type { RoomInfo } from '../protocol.ts';

/** A join code is read aloud in one lesson; a school day later it should open nothing. */
const CODE_HOURS = 12;
/** With 900,000 codes and few live ones, a second try is rare and a fifth never. */
const CODE_TRIES = 5;
const TITLES = { class: '小禾的课堂', studio: '诗词工坊' } as const;

const Row = z.object({ room: z.string(), title: z.string(), code: z.string().nullable() });

function newCode(): string {
  return String(randomInt(100_000, 1_000_000));
}

/** Runs with a fresh code until none of the live ones is hit. */
async function withFreshCode<T>(attempt: (code: string) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(newCode());
    } catch (error) {
      if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION || tries >= CODE_TRIES) throw error;
    }
  }
}
export const UNIQUE_VIOLATION = '23505';

export async function openRoom(
  pool: Pool,
  person: string,
  kind: 'class' | 'studio',
  title?: string,
): Promise<RoomInfo> {
  const room = `${kind}:${randomUUID()}`;
  const named = title || TITLES[kind];
  await pool.query('update rooms set code = null, code_expires_at = null where code_expires_at < now()');
  return await withFreshCode(async (code) => {
    await pool.query(
      `with room as (
         insert into rooms (name, kind, title, code, code_expires_at, seq)
         values ($1, $2, $3, $4, now() + make_interval(hours => $5), 1) returning name
       ),
       member as (insert into members (room, person, role) select name, $6::uuid, 'owner' from room)
       insert into room_events (room, seq, type, person) select name, 1, 'member', $6::uuid from room`,
      [room, kind, named, code, CODE_HOURS, person],
    );
    return { room, title: named, code };
  });
}

export async function findByCode(pool: Pool, code: string): Promise<RoomInfo> {
  const { rows } = await pool.query(
    `select name as room, title, '' as code from rooms where code = $1 and code_expires_at > now()`,
    [code],
  );
  if (!rows[0]) throw new AppError('JOIN_CODE_UNKNOWN');
  return Row.parse(rows[0]) as RoomInfo;
}

/** Adds a member. Returns the event's number, or undefined if they were in already. */
export async function addMember(pool: Pool, room: string, person: string): Promise<number | undefined> {
  const { rows } = await pool.query<{ seq: number }>(
    `with member as (
       insert into members (room, person, role) values ($1, $2, 'member') on conflict do nothing returning room, person
     ),
     numbered as (
       update rooms set seq = seq + 1 from member where name = member.room returning name, seq, member.person
     )
     insert into room_events (room, seq, type, person) select name, seq, 'member', person from numbered returning seq`,
    [room, person],
  );
  return rows[0]?.seq;
}

/** A person's shared rooms, newest first. Owners see a join code, which is renewed here once it has run out. */
export async function listRooms(pool: Pool, person: string): Promise<RoomInfo[]> {
  const expired = await pool.query<{ name: string }>(
    `select r.name from rooms r join members m on m.room = r.name
     where m.person = $1 and m.role = 'owner' and r.kind <> 'me' and coalesce(r.code_expires_at < now(), true)`,
    [person],
  );
  for (const { name } of expired.rows) {
    await withFreshCode((code) =>
      pool.query(`update rooms set code = $2, code_expires_at = now() + make_interval(hours => $3) where name = $1`, [
        name,
        code,
        CODE_HOURS,
      ]),
    );
  }
  const { rows } = await pool.query(
    `select r.name as room, r.title, case when m.role = 'owner' then r.code end as code
     from members m join rooms r on r.name = m.room
     where m.person = $1 and r.kind <> 'me' order by r.created_at desc`,
    [person],
  );
  return rows.map((row) => {
    const info = Row.parse(row);
    return { ...info, code: info.code ?? '' };
  });
}

/** Throws NO_SUCH_ROOM or NOT_A_MEMBER. */
export async function requireMember(pool: Pool, room: string, person: string): Promise<void> {
  const { rows } = await pool.query<{ member: boolean }>(
    `select exists (select from members where room = $1 and person = $2) as member from rooms where name = $1`,
    [room, person],
  );
  if (!rows[0]) throw new AppError('NO_SUCH_ROOM');
  if (!rows[0].member) throw new AppError('NOT_A_MEMBER');
}

/** `me` is one's own room; a canonical name is itself. */
export function canonicalRoom(room: string, person: string): string {
  return room === 'me' ? `me:${person}` : room;
}

/** Gives a person another name. Returns the rooms to tell. */
export async function rename(pool: Pool, person: string, name: string): Promise<string[]> {
  const { rows } = await pool.query<{ room: string }>(
    `with renamed as (update persons set name = $2 where id = $1 and name <> $2 returning id)
     select m.room from members m join renamed on m.person = renamed.id`,
    [person, name],
  );
  return rows.map((row) => row.room);
}

/** Numbers a change of a member in one room. */
export async function noteMember(pool: Pool, room: string, person: string): Promise<number | undefined> {
  const { rows } = await pool.query<{ seq: number }>(
    `with numbered as (update rooms set seq = seq + 1 where name = $1 returning name, seq)
     insert into room_events (room, seq, type, person) select name, seq, 'member', $2 from numbered returning seq`,
    [room, person],
  );
  return rows[0]?.seq;
}
