/**
 * Several attempts at one reply, made side by side, of which the model's own probabilities choose: her words and her
 * choice. The engine batches the attempts, so six cost little more time than one.
 */
import type { GenerationUsage, Sampling, SlotsConstraint } from '../model/index.ts';
import type { ReplyUsage, SkillRequest } from './types.ts';

export interface Attempt {
  text: string;
  /** Mean log-probability a token, natural logarithm. 0 for all where a remote model gives none: then other merits decide. */
  logprob: number;
}

export interface Attempts {
  attempts: Attempt[];
  usage: ReplyUsage;
}

/** What one attempt must look like, or only how long it may be. */
export type AttemptForm = SlotsConstraint | { maxTokens: number };

/** An attempt that failed: never chosen. */
const LOST = { text: '', logprob: Number.NEGATIVE_INFINITY, usage: undefined };

/** One attempt for each form, with seeds counted up from the request's. All end early when the signal aborts. */
export async function attemptAll(request: SkillRequest, forms: AttemptForm[], sampling: Sampling): Promise<Attempts> {
  const { model, messages, person, signal } = request;
  const seed = request.sampling.seed ?? Math.floor(Math.random() * 2 ** 31);
  const tried = await Promise.allSettled(
    forms.map(async (form, i) => {
      let text = '';
      let sum = 0;
      let tokens = 0;
      let usage: GenerationUsage | undefined;
      const length = 'slots' in form ? { maxTokens: form.slots.length + 1, constraint: form } : form;
      for await (const event of model.generate({
        messages,
        person,
        sampling: { ...sampling, seed: seed + i },
        ...length,
        signal,
      })) {
        if (event.type === 'token') {
          // The end token after the last slot is forced and says nothing about the verse.
          if (event.text === '') continue;
          sum += event.logprob;
          tokens++;
        } else {
          text = event.text;
          usage = event.usage;
        }
      }
      const mean = tokens > 0 ? sum / tokens : Number.NEGATIVE_INFINITY;
      return { text, logprob: Number.isNaN(mean) ? 0 : mean, usage };
    }),
  );
  const runs = tried.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : LOST));
  // Over a network one of several may fail, or find no words that fit; what the others said still counts.
  const failures = tried.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  if (failures.length === tried.length) throw failures[0];
  const total: ReplyUsage = { promptTokens: 0, completionTokens: 0, firstTokenMs: 0, computeMs: 0 };
  for (const { usage } of runs) {
    if (!usage) continue;
    // The prompt is one prompt, however often it is continued; words and work are all counted.
    total.promptTokens = usage.promptTokens;
    total.completionTokens += usage.completionTokens;
    total.computeMs += usage.computeMs;
  }
  return { attempts: runs, usage: total };
}
