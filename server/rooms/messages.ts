/**
 * Writing to a room. Each function is one SQL statement: it takes the room's row lock, the next sequence numbers and
 * every row that belongs together, and lets go. Nothing is half stored when a connection dies, and a client that sends
 * the same id again gets the first answer.
 */
import type { Pool } from '../db/index.ts';
import { AppError } from '../errors.ts';
import type { FactChip, Skill } from '../protocol.ts';
import { requireMember, UNIQUE_VIOLATION } from './rooms.ts';
import { STUDENT } from './view.ts';

export interface NewMessage {
  id: string;
  room: string;
  author: { id: string; name: string };
  text: string;
  skill?: Skill;
}
/** A reply to be made: its generation, her (still empty) message, and the process that will make it. */
export interface NewReply {
  generation: string;
  reply: string;
  process: string;
}

/** Stores a person's message and opens the reply to it. `fresh` is false when this id was stored before. */
export async function storeMessage(
  pool: Pool,
  message: NewMessage,
  reply: NewReply,
): Promise<{ seq: number; fresh: boolean }> {
  try {
    const { rows } = await pool.query<{ seq: number }>(
      `with room as (
         update rooms set seq = seq + 2
         where name = $1 and exists (select from members where room = $1 and person = $3) returning name, seq
       ),
       said as (
         insert into messages (id, room, seq, author, author_name, text, skill)
         select $2, name, seq - 1, $3, $4, $5, $6 from room
       ),
       reply as (
         insert into messages (id, room, seq, author_name, text, skill, reply_to)
         select $7, name, seq, $10, '', $6, $2 from room
       ),
       generation as (
         insert into generations (id, room, message, reply, seq, skill, process)
         select $8, name, $2, $7, seq, coalesce($6, 'chat'), $9 from room
       ),
       events as (
         insert into room_events (room, seq, type, message)
         select name, seq - 1, 'message', $2::uuid from room union all select name, seq, 'message', $7::uuid from room
       )
       select seq - 1 as seq from room`,
      [
        message.room,
        message.id,
        message.author.id,
        message.author.name,
        message.text,
        message.skill ?? null,
        reply.reply,
        reply.generation,
        reply.process,
        STUDENT.name,
      ],
    );
    if (rows[0]) return { seq: rows[0].seq, fresh: true };
  } catch (error) {
    if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
    return { seq: await seqOfStored(pool, message), fresh: false };
  }
  await requireMember(pool, message.room, message.author.id);
  throw new AppError('NOT_A_MEMBER');
}

async function seqOfStored(pool: Pool, message: NewMessage): Promise<number> {
  const { rows } = await pool.query<{ seq: number }>(
    'select seq from messages where id = $1 and room = $2 and author = $3',
    [message.id, message.room, message.author.id],
  );
  if (!rows[0]) throw new AppError('MESSAGE_ID_TAKEN');
  return rows[0].seq;
}

/**
 * Opens another reply to a stored message. The earlier reply stays as it ended: replies are a record. Asking while one
 * is running returns that one, without a `seq`.
 */
export async function storeRetry(
  pool: Pool,
  room: string,
  message: string,
  reply: NewReply,
): Promise<{ generation: string; seq?: number; skill?: Skill }> {
  try {
    const { rows } = await pool.query<{ seq: number; skill: Skill | null }>(
      `with said as (select id, skill from messages where id = $2 and room = $1 and author is not null),
       room as (update rooms set seq = seq + 1 where name = $1 and exists (select from said) returning name, seq),
       reply as (
         insert into messages (id, room, seq, author_name, text, skill, reply_to)
         select $3, name, seq, $6, '', said.skill, said.id from room, said
       ),
       generation as (
         insert into generations (id, room, message, reply, seq, skill, process)
         select $4, name, said.id, $3, seq, coalesce(said.skill, 'chat'), $5 from room, said
       )
       insert into room_events (room, seq, type, message) select name, seq, 'message', $3 from room
       returning seq, (select skill from said)`,
      [room, message, reply.reply, reply.generation, reply.process, STUDENT.name],
    );
    if (!rows[0]) throw new AppError('NO_SUCH_MESSAGE');
    const { seq, skill } = rows[0];
    return { generation: reply.generation, seq, ...(skill && { skill }) };
  } catch (error) {
    // generations_one_running: somebody else asked first.
    if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
    const { rows } = await pool.query<{ id: string }>(
      `select id from generations where message = $1 and status = 'running'`,
      [message],
    );
    if (!rows[0]) throw error;
    return { generation: rows[0].id };
  }
}

/** Puts what she learned from a message, or a safety notice, beside it. Returns the event's number. */
export async function annotateMessage(
  pool: Pool,
  message: string,
  note: { learned?: FactChip[]; notice?: string },
): Promise<number | undefined> {
  const { rows } = await pool.query<{ seq: number }>(
    `with said as (
       update messages set learned = coalesce($2::jsonb, learned), notice = coalesce($3, notice)
       where id = $1 returning id, room
     ),
     room as (update rooms set seq = seq + 1 from said where name = said.room returning name, seq, said.id)
     insert into room_events (room, seq, type, message) select name, seq, 'update', id from room returning seq`,
    [message, note.learned ? JSON.stringify(note.learned) : null, note.notice ?? null],
  );
  return rows[0]?.seq;
}
