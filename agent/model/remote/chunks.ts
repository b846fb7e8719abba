/** From LangChain's chunks of a streamed reply to token events. Pure. */
import type { AIMessageChunk, UsageMetadata } from '@langchain/core/messages';
import { z } from 'zod';
import type { Alternative, FinishReason, GenerateEvent, GenerationUsage } from '../types.ts';

export type TokenEvent = Extract<GenerateEvent, { type: 'token' }>;

/** Servers name no ids of their tokens. */
export const NO_TOKEN = -1;

const Scored = z.object({ token: z.string(), logprob: z.number() });
const Logprobs = z.object({
  content: z.array(Scored.extend({ top_logprobs: z.array(Scored).optional().catch(undefined) })),
});

/** One event for each token the chunk tells apart; a log-probability that was not offered is NaN, not a guess. */
export function tokensOf(chunk: AIMessageChunk): TokenEvent[] {
  const { text } = chunk;
  const parsed = Logprobs.safeParse(chunk.response_metadata.logprobs);
  const scored = parsed.success ? parsed.data.content : [];
  if (scored.length === 0) return text === '' ? [] : [{ type: 'token', token: NO_TOKEN, text, logprob: Number.NaN }];
  // Bytes of half a character belong to no text yet: then the pieces do not add up, and all of it is one event.
  if (scored.length > 1 && scored.map(({ token }) => token).join('') !== text) {
    const mean = scored.reduce((sum, { logprob }) => sum + logprob, 0) / scored.length;
    return [{ type: 'token', token: NO_TOKEN, text, logprob: mean }];
  }
  return scored.map(({ token, logprob, top_logprobs }) => ({
    type: 'token',
    token: NO_TOKEN,
    text: scored.length === 1 ? text : token,
    logprob,
    ...(top_logprobs && top_logprobs.length > 0 && { top: top_logprobs.map(alternative) }),
  }));
}

function alternative({ token, logprob }: z.infer<typeof Scored>): Alternative {
  return { token: NO_TOKEN, text: token, logprob };
}

/** Why the reply ended, from the last chunk that has a choice; undefined: it has not ended yet. */
export function finishOf(reason: unknown): FinishReason | undefined {
  if (typeof reason !== 'string') return undefined;
  return reason === 'length' ? 'length' : 'stop';
}

export type TokenCounts = Pick<GenerationUsage, 'promptTokens' | 'cachedTokens' | 'completionTokens'>;

export function countsOf(chunk: AIMessageChunk): TokenCounts | undefined {
  // LangChain types this away under `exactOptionalPropertyTypes`.
  const usage = chunk.usage_metadata as UsageMetadata | undefined;
  return (
    usage && {
      promptTokens: usage.input_tokens ?? 0,
      cachedTokens: usage.input_token_details?.cache_read ?? 0,
      completionTokens: usage.output_tokens ?? 0,
    }
  );
}
