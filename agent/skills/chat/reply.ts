/**
 * Plain talk. Free talk goes to the model through LangChain and comes back as it is spoken. Where a good reply can be told
 * from a bad one — it names what she remembers, or admits that nobody taught her — she tries several and keeps the
 * likeliest good one: a small model gets it right most of the time, and this makes it nearly always. Every word is still
 * hers; when no try is good, the likeliest is kept as it is.
 */
import type { Sampling } from '../../model/index.ts';
import { attemptAll } from '../candidates.ts';
import type { SkillEvent, SkillRequest } from '../types.ts';
import { freely } from './freely.ts';
import { withTools } from './with-tools.ts';

/** Such answers are a sentence or two. */
const MAX_ANSWER_TOKENS = 80;
/** Side by side they cost little more than one; six already named the value in 95 of 96 made-up cases. */
const TRIES = 8;
/** Warm enough that tries differ, and free to copy: no penalty for repeating what the prompt says. */
const TRY_SAMPLING: Sampling = { temperature: 0.6, topK: 40, topP: 0.95, minP: 0.03, repetitionPenalty: 1 };

export async function* talk(request: SkillRequest): AsyncGenerator<SkillEvent, void, undefined> {
  const { brain, prefer } = request;
  if (brain && brain.remote.canCallTools !== false) yield* withTools(request, brain);
  else if (prefer) yield* carefully(request, prefer);
  else yield* freely(request);
}

async function* carefully(
  request: SkillRequest,
  prefer: (reply: string) => boolean,
): AsyncGenerator<SkillEvent, void, undefined> {
  const started = performance.now();
  const forms = Array.from({ length: TRIES }, () => ({ maxTokens: MAX_ANSWER_TOKENS }));
  const { attempts, usage } = await attemptAll(request, forms, { ...TRY_SAMPLING, ...request.sampling });
  if (!request.signal.aborted) {
    const good = attempts.filter(({ text }) => prefer(text));
    const best = (good.length > 0 ? good : attempts).reduce((a, b) => (b.logprob > a.logprob ? b : a));
    usage.firstTokenMs = performance.now() - started;
    yield { type: 'delta', text: best.text };
  }
  yield { type: 'end', stopped: request.signal.aborted, usage };
}
