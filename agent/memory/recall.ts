/**
 * The facts table's reading side: candidates by full-text terms within one scope, judged by `relevance.ts`, fused with
 * recency. The scope is part of the SQL, so no wording of a question can reach another room's memory.
 */
import type { Database, Fact } from '../types.ts';
import { type Candidate, readQuery, relevance } from './relevance.ts';
import { tsqueryAny, weightOf } from './terms.ts';

/** More than four facts crowd a small model's context; it was trained with up to six, mostly fewer. */
export const MOST_RECALLED = 4;
/** Candidates judged per question: enough that the right one is among them, few enough to stay under a millisecond. */
const CANDIDATES = 48;
/** The usual constant of reciprocal rank fusion (Cormack 2009). */
const RRF_K = 60;
/** A fact this much less relevant than the best one is left out. */
const BEST_SHARE = 0.7;

export interface RecalledFact extends Fact {
  /** What the statement claims; used to see whether the reply used it. */
  object: string;
  /** Whoever asks now taught it. */
  own: boolean;
  rank: number;
  score: number;
}

interface Row extends Candidate {
  id: string;
  message: string;
  said_at: Date;
  learned_at: Date;
}

export interface Cue {
  scope: string;
  speaker: string;
  text: string;
  /** The message being answered: what it taught a moment ago is not a memory. */
  message: string;
}

export async function recall(db: Database, cue: Cue): Promise<RecalledFact[]> {
  const query = readQuery(cue.text, cue.speaker);
  if (query.terms.length === 0) return [];
  // Words of little topic (我有, 喜欢) are in a large part of all facts; they only search where nothing better is.
  const topical = query.terms.filter((term) => weightOf(term) === 1);
  const searched = topical.length > 0 ? topical : query.terms;
  const { rows } = await db.query<Row>(
    `select f.id, f.subject, f.relation, f.object, f.text, f.message, f.said_at, f.learned_at,
            f.teacher, p.name as "teacherName"
     from facts f join persons p on p.id = f.teacher, cast($3 as tsquery) q
     where f.scope = $1 and f.message <> $2 and f.grams @@ q
       and f.status in ('scoped', 'shared') and f.superseded_at is null and f.erased_at is null
     order by ts_rank(f.grams, q) desc, f.learned_at desc
     limit ${CANDIDATES}`,
    [cue.scope, cue.message, tsqueryAny(searched)],
  );
  const judged = rows.map((row) => ({ row, relevance: relevance(query, row) })).filter((item) => item.relevance > 0);
  const best = Math.max(0, ...judged.map((item) => item.relevance));
  const close = judged.filter((item) => item.relevance >= best * BEST_SHARE);
  const byRelevance = [...close].sort((a, b) => b.relevance - a.relevance);
  const byRecency = [...close].sort((a, b) => b.row.learned_at.getTime() - a.row.learned_at.getTime());
  // Equal relevance shares a rank, so that the newer of two equally good facts comes first.
  const relevanceRank = new Map<Row, number>();
  for (const [i, item] of byRelevance.entries()) {
    const before = byRelevance[i - 1];
    relevanceRank.set(item.row, before && before.relevance === item.relevance ? relevanceRank.get(before.row)! : i);
  }
  return close
    .map(({ row }) => ({
      row,
      score: 1 / (RRF_K + relevanceRank.get(row)!) + 0.5 / (RRF_K + byRecency.findIndex((item) => item.row === row)),
    }))
    .sort((a, b) => b.score - a.score)
    .slice(0, MOST_RECALLED)
    .map(({ row, score }, i) => ({
      id: row.id,
      text: row.text,
      teacher: row.teacherName,
      saidAt: row.said_at,
      message: row.message,
      object: row.object,
      own: row.teacher === cue.speaker,
      rank: i + 1,
      score,
    }));
}

/** Writes down which facts stood in the prompt of a reply. */
export async function recordRecall(
  db: Database,
  generation: string,
  facts: readonly RecalledFact[],
  at: Date,
): Promise<void> {
  if (facts.length === 0) return;
  await db.query(
    `with used as (
       insert into recalls (generation, fact, rank, score)
       select $1, * from unnest($2::uuid[], $3::integer[], $4::real[])
       on conflict do nothing returning fact)
     update facts set recalls = recalls + 1, last_recalled_at = $5 from used where facts.id = used.fact`,
    [generation, facts.map((fact) => fact.id), facts.map((fact) => fact.rank), facts.map((fact) => fact.score), at],
  );
}
