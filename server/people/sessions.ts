/**
 * Guests and their sessions. A person is a pseudonym and an id; a session is a random token the browser keeps in an
 * HttpOnly cookie and of which the database knows only the hash.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Pool } from '../db/index.ts';

/** Guests have no password to come back with, so a session lives as long as records are kept by default. */
export const SESSION_DAYS = 365;
const TOKEN_BYTES = 32;

const Person = z.object({ id: z.uuid(), name: z.string() });
export type Person = z.infer<typeof Person>;

function sha256(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Makes a person, their own room and a session in one statement, so that none exists without the others. */
export async function createGuest(pool: Pool, name: string): Promise<{ person: Person; token: string }> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const id = randomUUID();
  await pool.query(
    `with person as (insert into persons (id, name) values ($1, $2) returning id),
     room as (
       insert into rooms (name, kind, person, seq) select 'me:' || id, 'me', id, 1 from person returning name, person
     ),
     member as (insert into members (room, person, role) select name, person, 'owner' from room),
     event as (insert into room_events (room, seq, type, person) select name, 1, 'member', person from room)
     insert into sessions (token_sha256, person, expires_at) select $3, id, now() + make_interval(days => $4) from person`,
    [id, name, sha256(token), SESSION_DAYS],
  );
  return { person: { id, name }, token };
}

export async function findPerson(pool: Pool, token: string | undefined): Promise<Person | undefined> {
  if (!token) return undefined;
  const { rows } = await pool.query(
    `select p.id, p.name from sessions s join persons p on p.id = s.person
     where s.token_sha256 = $1 and s.expires_at > now()`,
    [sha256(token)],
  );
  return rows[0] === undefined ? undefined : Person.parse(rows[0]);
}

/** Notes that someone came back; retention counts from here. */
export async function noteSeen(pool: Pool, person: string): Promise<void> {
  await pool.query('update persons set seen_at = now() where id = $1', [person]);
}
