/**
 * What this server understands beyond the common core of the protocol, learned from its answers: a field that it refuses
 * is left out from then on. One per server.
 */
import type { Sampling } from '../types.ts';
import type { ServerKind } from './discover.ts';
import { isRefusal, isTooLong, messageOf } from './failure.ts';

/** Optional parts of a request, with the names under which a server complains about them. */
const FEATURES = {
  sampling: /top_k|min_p|repetition_penalty|repeat_penalty/i,
  thinking: /chat_template_kwargs|enable_thinking/i,
  logprobs: /logprobs/i,
  seed: /\bseed\b/i,
  usage: /stream_options|include_usage/i,
} as const;
export type Feature = keyof typeof FEATURES;
const ALL = Object.keys(FEATURES) as Feature[];

/** Names of one repetition penalty. */
const REPEAT = { vllm: 'repetition_penalty', llama: 'repeat_penalty' } as const;

export class Dialect {
  readonly #kind: ServerKind;
  readonly #refused = new Set<Feature>();

  constructor(kind: ServerKind) {
    this.#kind = kind;
  }

  get refusals(): number {
    return this.#refused.size;
  }

  /** The features to send, without those that this call already found refused. */
  accepted(without: ReadonlySet<Feature> = new Set()): Set<Feature> {
    return new Set(ALL.filter((feature) => !this.#refused.has(feature) && !without.has(feature)));
  }

  /** What to leave out after an error; empty when the error is about something else. */
  blamed(error: unknown, sent: ReadonlySet<Feature>): Feature[] {
    if (!isRefusal(error) || isTooLong(error)) return [];
    const message = messageOf(error);
    const named = [...sent].filter((feature) => FEATURES[feature].test(message));
    return named.length > 0 ? named : [...sent];
  }

  /** The server answered once these were left out. */
  learn(without: ReadonlySet<Feature>): Feature[] {
    const fresh = [...without].filter((feature) => !this.#refused.has(feature));
    for (const feature of fresh) this.#refused.add(feature);
    return fresh;
  }

  /** Fields of the request body that LangChain has no names for. */
  extras(sampling: Sampling, features: ReadonlySet<Feature>): Record<string, unknown> {
    const { topK, minP, repetitionPenalty } = sampling;
    const vllm = this.#kind === 'vLLM' || this.#kind === 'SGLang';
    const repeat = vllm ? [REPEAT.vllm] : Object.values(REPEAT);
    return {
      ...(features.has('sampling') && {
        // Said even where they change nothing: servers have defaults of their own, not all of them neutral.
        top_k: topK > 0 ? topK : vllm ? -1 : 0,
        min_p: minP,
        ...Object.fromEntries(repeat.map((name) => [name, repetitionPenalty])),
      }),
      // Qwen3 and its like think before they speak, which eats up the tokens of a short answer.
      ...(features.has('thinking') && { chat_template_kwargs: { enable_thinking: false } }),
    };
  }
}
