/** A quatrain in regulated form: several tries, each with its own rhyme and scheme, the likeliest kept. */
import { ModelError, type Sampling } from '../../model/index.ts';
import { attemptAll } from '../candidates.ts';
import { WIDE_RHYMES } from '../prosody/index.ts';
import type { SkillEvent, SkillRequest } from '../types.ts';
import { type Form, poemSlots, SCHEMES } from './form.ts';
import type { PoemRequest } from './request.ts';

/** Tries side by side, each another rhyme: the model chooses the one it can fill best. Four: a poem is four lines long. */
const TRIES = 4;
/** As for couplets; a poem has more room, so a little cooler keeps it together. */
const SAMPLING: Sampling = { temperature: 0.75, topK: 60, topP: 0.95, minP: 0.02, repetitionPenalty: 1.1 };

export function poemPrompt({ form, theme }: PoemRequest): string {
  return `写一首${NAMES[form]}：${theme}`;
}
const NAMES: Record<Form, string> = { 5: '五言绝句', 7: '七言绝句' };

export async function* poem(request: SkillRequest, { form }: PoemRequest): AsyncGenerator<SkillEvent, void, undefined> {
  const started = performance.now();
  const seed = request.sampling.seed ?? Math.floor(Math.random() * 2 ** 31);
  const constraints = Array.from({ length: TRIES }, (_, i) =>
    // Steps of 7 through the rhymes and of 1 through the schemes, so that no two tries are alike.
    poemSlots(form, SCHEMES[(seed + i) % SCHEMES.length]!, WIDE_RHYMES[(seed + 7 * i) % WIDE_RHYMES.length]!),
  );
  const { attempts, usage } = await attemptAll({ ...request, sampling: { ...request.sampling, seed } }, constraints, {
    ...SAMPLING,
    ...request.sampling,
  });
  const whole = attempts.filter((attempt, i) => [...attempt.text].length === constraints[i]!.slots.length);
  if (request.signal.aborted) {
    yield { type: 'end', stopped: true, usage };
    return;
  }
  if (whole.length === 0) throw new ModelError('CONSTRAINT_IMPOSSIBLE', 'no attempt filled the form');
  const best = whole.reduce((a, b) => (b.logprob > a.logprob ? b : a));
  usage.firstTokenMs = performance.now() - started;
  for (const char of best.text) yield { type: 'delta', text: char };
  yield { type: 'end', stopped: false, usage };
}
