/** A lower line to somebody's upper line: several tries under the rules, the likeliest kept, checked and shown. */
import { ModelError, type Sampling, type SlotsConstraint } from '../../model/index.ts';
import type { VerseReport } from '../../types.ts';
import { type Attempts, attemptAll } from '../candidates.ts';
import type { SkillEvent, SkillRequest } from '../types.ts';
import { checkCouplet, coupletSlots, STRICTNESS } from './rules.ts';

/** Tries side by side: the best of six is clearly better than one, twelve hardly better than six, and six still batch well. */
const TRIES = 6;
/** Warm enough that tries differ; the choice among them brings the quality back. */
const SAMPLING: Sampling = { temperature: 0.8, topK: 60, topP: 0.95, minP: 0.02, repetitionPenalty: 1 };
/** A broken rule weighs like a character of this much less log-probability, so form decides only between near equals. */
const RULE_WEIGHT = 0.3;

export function coupletPrompt(upper: string): string {
  return `对下联：${upper}`;
}

export async function* couplet(request: SkillRequest, upper: string): AsyncGenerator<SkillEvent, void, undefined> {
  const started = performance.now();
  const { attempts, usage } = await strictest(request, upper);
  const length = [...upper].length;
  const whole = attempts.filter((attempt) => [...attempt.text].length === length);
  if (request.signal.aborted) {
    yield { type: 'end', stopped: true, usage };
    return;
  }
  if (whole.length === 0) throw new ModelError('CONSTRAINT_IMPOSSIBLE', 'no attempt filled the form');
  const judged = whole.map(({ text, logprob }) => {
    const report = checkCouplet(upper, text);
    return { text, report, score: logprob - RULE_WEIGHT * broken(report) };
  });
  const best = judged.reduce((a, b) => (b.score > a.score ? b : a));
  usage.firstTokenMs = performance.now() - started;
  for (const char of best.text) yield { type: 'delta', text: char };
  yield { type: 'verse', report: best.report };
  yield { type: 'end', stopped: false, usage };
}

/** The strictest constraint that some line can keep. */
async function strictest(request: SkillRequest, upper: string): Promise<Attempts> {
  for (const strictness of STRICTNESS) {
    const constraints = Array.from({ length: TRIES }, (): SlotsConstraint => coupletSlots(upper, strictness));
    try {
      return await attemptAll(request, constraints, { ...SAMPLING, ...request.sampling });
    } catch (error) {
      if (!(error instanceof ModelError) || error.code !== 'CONSTRAINT_IMPOSSIBLE') throw error;
    }
  }
  throw new ModelError('CONSTRAINT_IMPOSSIBLE', `no line of ${[...upper].length} characters can be made`);
}

function broken(report: VerseReport): number {
  return report.rules.filter((rule) => !rule.ok).length;
}
