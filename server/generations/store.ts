/** The SQL of replies: appending events, ending, heartbeats, orphans, and reading the running ones. */
import { z } from 'zod';
import type { Pool } from '../db/index.ts';
import { AppError } from '../errors.ts';
import { foldReply, type NumberedEvent, openReply, type ReplyEvent, type ReplyState } from './fold.ts';

export interface ReplyAddress {
  id: string;
  room: string;
  /** The person's message answered. */
  message: string;
  /** Her message. */
  reply: string;
}

/** Appends events in one statement. Appending the same ones again changes nothing, so it may be retried. */
export async function appendEvents(pool: Pool, generation: string, events: NumberedEvent[]): Promise<void> {
  const rows = events.map(({ seq, event: { type, ...body } }) => ({ seq, type, body }));
  await pool.query(
    `insert into generation_events (generation, seq, type, body)
     select $1, seq, type, body from jsonb_to_recordset($2::jsonb) as e (seq integer, type text, body jsonb)
     on conflict do nothing`,
    [generation, JSON.stringify(rows)],
  );
}

/**
 * Ends a reply: its row, her message and the room event in one statement. Returns the event's number, or undefined when
 * it had ended already (the answer to an earlier attempt was lost, or the reaper was first). The process that made the
 * reply may correct the reaper, because only it knows the reply's end; `onlyStale` is the reaper's own condition.
 */
export async function endReply(
  pool: Pool,
  address: ReplyAddress,
  { text, generation }: ReplyState,
  by: { checkpointSha: string; error?: string; onlyStaleSeconds?: number },
): Promise<number | undefined> {
  const { rows } = await pool.query<{ seq: number }>(
    `with ended as (
       update generations set status = $2, skill = $3, checkpoint = $4, checkpoint_sha = $5, engine = $6, last_seq = $7,
         recalled = $8::jsonb, verse = $9::jsonb, usage = $10::jsonb, error = $11, ended_at = now()
       where id = $1 and case when $12::integer is null
         then status = 'running' or (error = 'REPLY_INTERRUPTED' and $11 is distinct from 'REPLY_INTERRUPTED')
         else status = 'running' and heartbeat_at <= now() - make_interval(secs => $12) end
       returning id, room, reply
     ),
     -- What was taken back is not kept in the log either.
     taken_back as (
       delete from generation_events e using ended
       where $2 = 'withheld' and e.generation = ended.id and e.type in ('delta', 'verse')
     ),
     room as (update rooms set seq = seq + 1 from ended where name = ended.room returning name, seq, ended.reply),
     said as (update messages set text = $13 from ended where messages.id = ended.reply)
     insert into room_events (room, seq, type, message) select name, seq, 'update', reply from room returning seq`,
    [
      address.id,
      generation.status,
      generation.skill,
      generation.checkpoint,
      by.checkpointSha,
      generation.engine,
      generation.lastSeq,
      JSON.stringify(generation.recalled),
      generation.verse ? JSON.stringify(generation.verse) : null,
      generation.usage ? JSON.stringify(generation.usage) : null,
      by.error ?? null,
      by.onlyStaleSeconds ?? null,
      text,
    ],
  );
  return rows[0]?.seq;
}

const Row = z.object({
  id: z.uuid(),
  room: z.string(),
  message: z.uuid(),
  reply: z.uuid(),
  skill: z.enum(['chat', 'couplet', 'poem']),
  events: z.array(z.object({ seq: z.int(), type: z.string(), body: z.record(z.string(), z.unknown()) })),
});

async function selectRunning(pool: Pool, where: string, values: unknown[]) {
  const { rows } = await pool.query(
    `select g.id, g.room, g.message, g.reply, g.skill,
       coalesce(jsonb_agg(jsonb_build_object('seq', e.seq, 'type', e.type, 'body', e.body) order by e.seq)
         filter (where e.seq is not null), '[]') as events
     from generations g left join generation_events e on e.generation = g.id
     where g.status = 'running' and ${where} group by g.id order by g.seq`,
    values,
  );
  return rows.map((raw) => {
    const { id, room, message, reply, skill, events } = Row.parse(raw);
    const state = events
      // This server wrote the bodies; their shape was checked by the compiler then.
      .map(({ seq, type, body }) => ({ seq, event: { type, ...body } as ReplyEvent }))
      .reduce(foldReply, openReply(id, skill));
    return { address: { id, room, message, reply } satisfies ReplyAddress, state };
  });
}

/** Running replies of a room with all text so far. */
export function readRunning(pool: Pool, room: string) {
  return selectRunning(pool, 'g.room = $1', [room]);
}

/** Replies whose process has not been heard of for this long. */
export function readStale(pool: Pool, seconds: number) {
  return selectRunning(pool, 'g.heartbeat_at <= now() - make_interval(secs => $1)', [seconds]);
}

/** Says that these replies are being made; returns which of them were asked to stop. */
export async function beat(pool: Pool, active: string[]): Promise<string[]> {
  const { rows } = await pool.query<{ id: string; stop: boolean }>(
    `update generations set heartbeat_at = now() where id = any($1::uuid[]) and status = 'running'
     returning id, stop_requested_at is not null as stop`,
    [active],
  );
  return rows.filter((row) => row.stop).map((row) => row.id);
}

/** Flags a reply for stopping. Throws NO_SUCH_GENERATION, also to people outside its room. Stopping an ended one is fine. */
export async function requestStop(pool: Pool, generation: string, person: string): Promise<void> {
  const { rowCount } = await pool.query(
    `update generations g set stop_requested_at = coalesce(stop_requested_at, now())
     where id = $1 and exists (select from members m where m.room = g.room and m.person = $2)`,
    [generation, person],
  );
  if (rowCount === 0) throw new AppError('NO_SUCH_GENERATION');
}

/** True when no earlier reply of the room is running, in whichever process. */
export async function isFirstInRoom(pool: Pool, room: string, generation: string): Promise<boolean> {
  const { rows } = await pool.query<{ first: boolean }>(
    `select not exists (
       select from generations g, generations mine
       where mine.id = $2 and g.room = $1 and g.status = 'running' and g.seq < mine.seq
     ) as first`,
    [room, generation],
  );
  return rows[0]?.first ?? true;
}

const TurnRow = z.object({
  text: z.string(),
  sent_at: z.date(),
  seq: z.int(),
  skill: z.enum(['chat', 'couplet', 'poem']).nullable(),
  author: z.uuid(),
  author_name: z.string(),
  kind: z.string(),
});
const HistoryRow = z.object({ author: z.uuid().nullable(), author_name: z.string(), text: z.string() });

/** What the mind needs of the message to answer and of the room before it. */
export async function readTurn(pool: Pool, message: string, historyMessages: number) {
  const asked = await pool.query(
    `select m.text, m.sent_at, m.seq, m.skill, m.author, m.author_name, r.kind
     from messages m join rooms r on r.name = m.room where m.id = $1`,
    [message],
  );
  if (!asked.rows[0]) throw new AppError('NO_SUCH_MESSAGE');
  const turn = TurnRow.parse(asked.rows[0]);
  // Of her replies only those that ended well, and of several to one message only the last.
  const before = await pool.query(
    `select m.author, m.author_name, m.text from messages m left join generations g on g.reply = m.id
     where m.room = (select room from messages where id = $1) and m.seq < $2 and m.text <> ''
       and (m.author is not null or (g.status in ('done', 'stopped') and not exists (
         select from messages later where later.reply_to = m.reply_to and later.seq > m.seq and later.text <> '')))
     order by m.seq desc limit $3`,
    [message, turn.seq, historyMessages],
  );
  const history = before.rows.reverse().map((raw) => {
    const row = HistoryRow.parse(raw);
    return { role: row.author ? ('person' as const) : ('student' as const), name: row.author_name, text: row.text };
  });
  return { ...turn, history };
}
