/**
 * How rows become what the page shows. A message's view changes only together with a room event: of a running reply it
 * shows none of the progress, which travels as generation events. That is what makes a snapshot plus the events after it
 * equal a later snapshot.
 */
import { z } from 'zod';
import { wordError } from '../errors.ts';
import type { Author, FactChip, Generation, Member, Message, Usage, VerseReport } from '../protocol.ts';

/** Her author entry. She is the program, not a row in `persons`. */
export const STUDENT: Author = { id: 'xiaohe', name: '小禾', kind: 'student' };

const Skill = z.enum(['chat', 'couplet', 'poem']);
/** JSON columns are written by this server alone and were typed then. */
const json = <T>() => z.custom<T>();

const GenerationRow = z.object({
  id: z.uuid(),
  status: z.enum(['running', 'done', 'stopped', 'failed', 'withheld']),
  last_seq: z.int(),
  skill: Skill,
  checkpoint: z.string(),
  engine: z.string(),
  recalled: json<FactChip[]>(),
  verse: json<VerseReport | null>(),
  usage: json<Usage | null>(),
  error: z.string().nullable(),
});
export type GenerationRow = z.infer<typeof GenerationRow>;

const MessageRow = z.object({
  id: z.uuid(),
  seq: z.int(),
  author: z.uuid().nullable(),
  author_name: z.string(),
  text: z.string(),
  reply_to: z.uuid().nullable(),
  learned: json<FactChip[] | null>(),
  notice: z.string().nullable(),
  sent_at: z.date(),
  generation: json<GenerationRow | null>(),
});

/** Selects what `viewMessage` needs; append `where …`. */
export const SELECT_MESSAGES = `
  select m.id, m.seq, m.author, m.author_name, m.text, m.reply_to, m.learned, m.notice, m.sent_at,
    case when g.id is null then null else jsonb_build_object(
      'id', g.id, 'status', g.status, 'last_seq', g.last_seq, 'skill', g.skill, 'checkpoint', g.checkpoint,
      'engine', g.engine, 'recalled', g.recalled, 'verse', g.verse, 'usage', g.usage, 'error', g.error
    ) end as generation
  from messages m left join generations g on g.reply = m.id`;

export function viewMessage(row: unknown): Message {
  const message = MessageRow.parse(row);
  return {
    id: message.id,
    seq: message.seq,
    author: message.author ? { id: message.author, name: message.author_name, kind: 'person' } : STUDENT,
    text: message.text,
    sentAt: message.sent_at.toISOString(),
    ...(message.reply_to && { replyTo: message.reply_to }),
    ...(message.generation && { generation: viewGeneration(GenerationRow.parse(message.generation)) }),
    ...(message.learned?.length && { learned: message.learned }),
    ...(message.notice && { notice: wordError(message.notice) }),
  };
}

export function viewGeneration(row: GenerationRow): Generation {
  return {
    id: row.id,
    status: row.status,
    lastSeq: row.last_seq,
    skill: row.skill,
    checkpoint: row.checkpoint,
    engine: row.engine,
    recalled: row.recalled,
    ...(row.verse && { verse: row.verse }),
    ...(row.usage && { usage: row.usage }),
    ...(row.error && { error: wordError(row.error) }),
  };
}

const MemberRow = z.object({ id: z.uuid(), name: z.string(), role: z.enum(['owner', 'member']) });
export const SELECT_MEMBERS = `
  select p.id, p.name, m.role from members m join persons p on p.id = m.person`;

export function viewMember(row: unknown): Member {
  return MemberRow.parse(row);
}
