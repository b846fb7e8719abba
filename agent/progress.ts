/** The learning-progress row of one turn: what kind of turn it was, and what it cost. */
import type { ModelInfo } from './model/index.ts';
import type { Database, Energy, SkillName } from './types.ts';

export type Outcome = 'chat' | 'taught' | 'recalled' | 'unknown' | 'verse' | 'stopped' | 'withheld' | 'failed';

export interface TurnRecord {
  generation: string;
  scope: string;
  speaker: string;
  skill: SkillName;
  outcome: Outcome;
  learned: number;
  recalled: number;
  usage: { promptTokens: number; completionTokens: number; firstTokenMs: number; totalMs: number };
  energy: Energy;
}

/**
 * Her ways of saying that she has not learned something; they make a turn `unknown`, and among several tries at
 * a question nobody taught her the answer to, one of these is kept.
 */
const UNKNOWN =
  /(?:没|不曾|还不).{0,6}(?:学|教|听说|听过|记过|晓得)|不知道|不清楚|不晓得|答不(?:出|上)|教教?我|你(?:来)?(?:教|告诉|讲)(?:给)?我|考倒|不会[。！，]|空(?:着|白)|\b(?:haven't|not|never|don't|didn't) (?:\w+ ){0,2}(?:learn|learned|learnt|know|heard|taught|told|sure)\b|\bteach me\b|\btell me\b|\bno idea\b|\bno one (?:has )?(?:told|taught)\b/i;

export function saysUnknown(reply: string): boolean {
  return UNKNOWN.test(reply);
}

export async function recordTurn(db: Database, { checkpoint }: ModelInfo, turn: TurnRecord, at: Date): Promise<void> {
  const { usage, energy } = turn;
  await db.query(
    `insert into turns (generation, scope, speaker, skill, outcome, facts_learned, facts_recalled, checkpoint, checkpoint_sha,
                        prompt_tokens, completion_tokens, first_token_ms, total_ms, joules, gco2e, energy_measured, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
     on conflict (generation) do nothing`,
    [
      turn.generation,
      turn.scope,
      turn.speaker,
      turn.skill,
      turn.outcome,
      turn.learned,
      turn.recalled,
      `${checkpoint.name}-${checkpoint.version}`,
      checkpoint.sha256,
      usage.promptTokens,
      usage.completionTokens,
      Math.round(usage.firstTokenMs),
      Math.round(usage.totalMs),
      energy.joules,
      energy.gco2e,
      energy.measured,
      at,
    ],
  );
}
