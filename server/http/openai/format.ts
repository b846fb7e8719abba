/**
 * Replies in the shapes of OpenAI's two endpoints, whole and in chunks. Pure; the types are the official client's own, so
 * the compiler holds us to them.
 */
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionTokenLogprob,
} from 'openai/resources/chat/completions';
import type { Completion, CompletionUsage } from 'openai/resources/completions';
import type { GenerationUsage } from '../../../agent/model/index.ts';
import type { Token } from './choices.ts';

/** What every object of one response repeats. */
export interface Head {
  id: string;
  created: number;
  model: string;
  system_fingerprint: string;
}
/** A reply, or a part of one. */
export interface Said {
  index: number;
  text: string;
  tokens: Token[];
  /** Characters of the reply before this part. */
  offset: number;
}
export type Reason = 'stop' | 'length';

export interface Format {
  idPrefix: string;
  /** `logprobs`: alternatives a token; undefined for none at all. */
  whole(
    head: Head,
    choices: (Said & { reason: Reason })[],
    usage: CompletionUsage,
    logprobs: number | undefined,
  ): object;
  /** Chunks: before the first text of a choice, for each text, after the last. */
  opening(head: Head, index: number): object | undefined;
  part(head: Head, said: Said, logprobs: number | undefined): object;
  closing(head: Head, index: number, reason: Reason): object;
  /** The last chunk, where usage was asked for. */
  total(head: Head, usage: CompletionUsage): object;
}

export const chatFormat: Format = {
  idPrefix: 'chatcmpl-',
  whole: (head, choices, usage, logprobs): ChatCompletion => ({
    ...head,
    object: 'chat.completion',
    choices: choices.map(({ index, text, tokens, reason }) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: chatLogprobs(tokens, logprobs),
      finish_reason: reason,
    })),
    usage,
  }),
  opening: (head, index) =>
    chatChunk(head, { index, delta: { role: 'assistant', content: '', refusal: null }, finish_reason: null }),
  part: (head, { index, text, tokens }, logprobs) =>
    chatChunk(head, {
      index,
      delta: { content: text },
      logprobs: chatLogprobs(tokens, logprobs),
      finish_reason: null,
    }),
  closing: (head, index, reason) => chatChunk(head, { index, delta: {}, finish_reason: reason }),
  total: (head, usage): ChatCompletionChunk => ({ ...head, object: 'chat.completion.chunk', choices: [], usage }),
};

function chatChunk(head: Head, choice: ChatCompletionChunk.Choice): ChatCompletionChunk {
  return { ...head, object: 'chat.completion.chunk', choices: [{ logprobs: null, ...choice }] };
}

function chatLogprobs(tokens: Token[], alternatives: number | undefined): ChatCompletion.Choice.Logprobs | null {
  if (alternatives === undefined) return null;
  const content = tokens.map((token) => ({
    ...described(nameOf(token), token.logprob),
    top_logprobs: (token.top ?? []).slice(0, alternatives).map(({ text, logprob }) => described(text, logprob)),
  }));
  return { content, refusal: null };
}

function described(token: string, logprob: number): Pick<ChatCompletionTokenLogprob, 'token' | 'logprob' | 'bytes'> {
  return { token, logprob, bytes: [...Buffer.from(token)] };
}

export const completionFormat: Format = {
  idPrefix: 'cmpl-',
  whole: (head, choices, usage, logprobs): Completion => ({
    ...head,
    object: 'text_completion',
    choices: choices.map((said) => ({
      index: said.index,
      text: said.text,
      logprobs: completionLogprobs(said, logprobs),
      finish_reason: said.reason,
    })),
    usage,
  }),
  opening: () => undefined,
  part: (head, said, logprobs) => ({
    ...head,
    object: 'text_completion',
    choices: [
      { index: said.index, text: said.text, logprobs: completionLogprobs(said, logprobs), finish_reason: null },
    ],
  }),
  closing: (head, index, reason) => ({
    ...head,
    object: 'text_completion',
    choices: [{ index, text: '', logprobs: null, finish_reason: reason }],
  }),
  total: (head, usage): Completion => ({ ...head, object: 'text_completion', choices: [], usage }),
};

type OldLogprobs = NonNullable<Completion['choices'][number]['logprobs']>;
function completionLogprobs({ tokens, offset }: Said, alternatives: number | undefined): OldLogprobs | null {
  if (alternatives === undefined) return null;
  let at = offset;
  return {
    tokens: tokens.map(nameOf),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) =>
      Object.fromEntries((top ?? []).slice(0, alternatives).map(({ text, logprob }) => [text, logprob])),
    ),
    text_offset: tokens.map(({ text }) => {
      const start = at;
      at += text.length;
      return start;
    }),
  };
}

/** A token's own text where the model listed it, else what the reply grew by with it. */
function nameOf({ token, text, top }: Token): string {
  return top?.find((other) => other.token === token)?.text ?? text;
}

/** A prompt is read once however many choices it has. */
export function addUsage(replies: ReadonlyMap<number, GenerationUsage>, n: number): CompletionUsage {
  const usage = { prompt: 0, cached: 0, completion: 0 };
  for (const [index, { promptTokens, cachedTokens, completionTokens }] of replies) {
    usage.completion += completionTokens;
    if (index % n !== 0) continue;
    usage.prompt += promptTokens;
    usage.cached += cachedTokens;
  }
  return {
    prompt_tokens: usage.prompt,
    completion_tokens: usage.completion,
    total_tokens: usage.prompt + usage.completion,
    prompt_tokens_details: { cached_tokens: usage.cached },
  };
}
