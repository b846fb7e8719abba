/**
 * Several attempts at one reply, made side by side, of which the model's own probabilities choose: her words and her
 * choice. The engine batches the attempts, so six cost little more time than one.
 */
import type { GenerationUsage, Sampling, SlotsConstraint } from '../model/index.ts';
import type { ReplyUsage, SkillRequest } from './types.ts';

export interface Attempt {
  text: string;
  /** Mean log-probability a token, natural logarithm. */
  logprob: number;
}

export interface Attempts {
  attempts: Attempt[];
  usage: ReplyUsage;
}

/** What one attempt must look like, or only how long it may be. */
export type AttemptForm = SlotsConstraint | { maxTokens: number };

/** One attempt for each form, with seeds counted up from the request's. All end early when the signal aborts. */
export async function attemptAll(request: SkillRequest, forms: AttemptForm[], sampling: Sampling): Promise<Attempts> {
  const { model, messages, signal } = request;
  const seed = request.sampling.seed ?? Math.floor(Math.random() * 2 ** 31);
  const runs = await Promise.all(
    forms.map(async (form, i) => {
      let text = '';
      let sum = 0;
      let tokens = 0;
      let usage: GenerationUsage | undefined;
      const length = 'slots' in form ? { maxTokens: form.slots.length + 1, constraint: form } : form;
      for await (const event of model.generate({
        messages,
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
      return { text, logprob: tokens > 0 ? sum / tokens : Number.NEGATIVE_INFINITY, usage };
    }),
  );
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
