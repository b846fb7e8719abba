/**
 * The facts table's writing side: what a person taught is merged, replaced or kept apart, never overwritten. A fact that
 * no longer holds keeps its row with `superseded_at` and a pointer to what replaced it.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Database, Fact } from '../types.ts';
import { factTerms } from './relevance.ts';
import { type Amendment, type Extraction, keyOf, type Statement, sameClaim } from './statement.ts';
import { tsvector } from './terms.ts';

export interface Lesson {
  scope: string;
  teacher: { id: string; name: string };
  message: string;
  saidAt: Date;
  learnedAt: Date;
}

/** `不对，叫花花` speaks of what was said just before, not of last week. Milliseconds. */
const AMENDMENT_REACH_MS = 30 * 60_000;

interface LiveFact {
  id: string;
  subject: string;
  relation: string;
  object: string;
  text: string;
  lang: string;
  key: string;
  teacher: string;
  status: string;
}

type Client = pg.PoolClient;

/** Stores what was extracted from one message, in one transaction. Returns the facts that are new. */
export async function learn(db: Database, lesson: Lesson, extraction: Extraction): Promise<Fact[]> {
  if (extraction.statements.length === 0 && !extraction.amendment) return [];
  const client = await db.connect();
  try {
    await client.query('begin');
    const statements = [...extraction.statements];
    if (extraction.amendment) {
      const amended = await amend(client, lesson, extraction.amendment);
      if (amended) statements.push(amended);
    }
    const learned: Fact[] = [];
    for (const statement of statements) {
      const fact = await store(client, lesson, statement);
      if (fact) learned.push(fact);
    }
    await client.query('commit');
    client.release();
    return learned;
  } catch (error) {
    // A broken connection cannot roll back; the pool must not hand it out again.
    const broken = await client.query('rollback').then(
      () => undefined,
      (failure: Error) => failure,
    );
    client.release(broken);
    throw error;
  }
}

async function store(client: Client, lesson: Lesson, statement: Statement): Promise<Fact | null> {
  const key = keyOf(statement, lesson.teacher.id);
  const { rows } = await client.query<LiveFact>(
    `select id, subject, relation, object, text, lang, key, teacher, status from facts
     where scope = $1 and key = $2 and superseded_at is null and erased_at is null and status <> 'retired'
     order by learned_at for update`,
    [lesson.scope, key],
  );
  const same = rows.find((row) => sameClaim(row, statement));
  const others = rows.filter((row) => row !== same && row.status !== 'quarantined');
  if (same) {
    // A second person says what waited in quarantine: now it holds, and what it contradicted does not.
    if (same.status === 'quarantined' && same.teacher !== lesson.teacher.id) {
      await client.query(`update facts set status = 'scoped' where id = $1`, [same.id]);
      await supersede(client, others, same.id, lesson.learnedAt);
    }
    return null;
  }
  const mayReplace = statement.correction || others.every((row) => row.teacher === lesson.teacher.id);
  const fact: Fact = {
    id: randomUUID(),
    text: statement.text,
    teacher: lesson.teacher.name,
    saidAt: lesson.saidAt,
    message: lesson.message,
  };
  const terms = factTerms({ ...statement, teacherName: lesson.teacher.name });
  await client.query(
    `insert into facts (id, scope, subject, relation, object, key, text, lang, teacher, message, status, said_at, learned_at, grams)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::tsvector)`,
    [
      fact.id,
      lesson.scope,
      statement.subject,
      statement.relation,
      statement.object,
      key,
      statement.text,
      statement.lang,
      lesson.teacher.id,
      lesson.message,
      mayReplace ? 'scoped' : 'quarantined',
      lesson.saidAt,
      lesson.learnedAt,
      tsvector(terms),
    ],
  );
  if (mayReplace) await supersede(client, others, fact.id, lesson.learnedAt);
  // A claim in quarantine is kept but not yet learned: nothing to show.
  return mayReplace ? fact : null;
}

async function supersede(client: Client, old: LiveFact[], by: string, at: Date): Promise<void> {
  if (old.length === 0) return;
  await client.query('update facts set superseded_at = $2, superseded_by = $3 where id = any($1::uuid[])', [
    old.map((row) => row.id),
    at,
    by,
  ]);
}

/** The full statement an amendment stands for, from the teacher's last fact it can speak of. */
async function amend(client: Client, lesson: Lesson, amendment: Amendment): Promise<Statement | null> {
  const { rows } = await client.query<LiveFact>(
    `select id, subject, relation, object, text, lang, key, teacher, status from facts
     where scope = $1 and teacher = $2 and learned_at > $3 and superseded_at is null and erased_at is null
       and relation <> 'note' and ($4::text is null or relation = $4)
     order by learned_at desc limit 1`,
    [
      lesson.scope,
      lesson.teacher.id,
      new Date(lesson.learnedAt.getTime() - AMENDMENT_REACH_MS),
      amendment.relation ?? null,
    ],
  );
  const [row] = rows;
  // The object must be found in the old wording, so that the new one is hers to say again word for word.
  if (!row?.text.includes(row.object)) return null;
  const at = row.text.lastIndexOf(row.object);
  const text = row.text.slice(0, at) + amendment.object + row.text.slice(at + row.object.length);
  const single = keyOf({ ...row, single: true }, row.teacher) === row.key;
  return {
    subject: row.subject,
    relation: row.relation,
    object: amendment.object,
    text,
    lang: row.lang === 'en' ? 'en' : 'zh',
    single,
    correction: true,
  };
}
