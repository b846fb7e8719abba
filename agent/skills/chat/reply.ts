/**
 * Plain talk. Free talk goes to the model through LangChain and comes back as it is spoken. Where a good reply can be told
 * from a bad one — it names what she remembers, or admits that nobody taught her — she tries several and keeps the
 * likeliest good one: a small model gets it right most of the time, and this makes it nearly always. Every word is still
 * hers; when no try is good, the likeliest is kept as it is.
 */
import { AIMessage, type AIMessageChunk, HumanMessage, SystemMessage } from 'langchain';
import type { ChatMessage, GenerationUsage, Sampling } from '../../model/index.ts';
import { attemptAll } from '../candidates.ts';
import type { ReplyUsage, SkillEvent, SkillRequest } from '../types.ts';

/** Tokens of her longest sensible reply: a story of 180 characters and a little air. Longer ones wander. */
const MAX_REPLY_TOKENS = 220;
/** Such answers are a sentence or two. */
const MAX_ANSWER_TOKENS = 80;
/** Side by side they cost little more than one; six already named the value in 95 of 96 made-up cases. */
const TRIES = 8;
/** Warm enough that tries differ, and free to copy: no penalty for repeating what the prompt says. */
const TRY_SAMPLING: Sampling = { temperature: 0.6, topK: 40, topP: 0.95, minP: 0.03, repetitionPenalty: 1 };

export async function* talk(request: SkillRequest): AsyncGenerator<SkillEvent, void, undefined> {
  yield* request.prefer ? carefully(request, request.prefer) : freely(request);
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

async function* freely(request: SkillRequest): AsyncGenerator<SkillEvent, void, undefined> {
  const { chat, messages, sampling, signal } = request;
  const started = performance.now();
  const usage: ReplyUsage = { promptTokens: 0, completionTokens: 0, firstTokenMs: 0, computeMs: 0 };
  let pieces = 0;
  let stopped = true;
  try {
    const stream = await chat.stream(messages.map(toLangChain), { sampling, maxTokens: MAX_REPLY_TOKENS, signal });
    for await (const chunk of stream) {
      const reported = usageOf(chunk);
      if (reported) {
        stopped = chunk.response_metadata.finish_reason === 'abort';
        Object.assign(usage, reported);
      }
      if (chunk.text === '') continue;
      if (pieces++ === 0) usage.firstTokenMs = performance.now() - started;
      yield { type: 'delta', text: chunk.text };
    }
  } catch (error) {
    // LangChain throws when the signal ends a stream; being stopped is not an error.
    if (!signal.aborted) throw error;
  }
  if (usage.promptTokens === 0) {
    // Stopped before the model reported: what is known is how many pieces came and how long it took.
    usage.completionTokens = pieces;
    usage.computeMs = performance.now() - started;
  }
  yield { type: 'end', stopped, usage };
}

function toLangChain({ role, content }: ChatMessage) {
  if (role === 'system') return new SystemMessage(content);
  return role === 'user' ? new HumanMessage(content) : new AIMessage(content);
}

function usageOf(chunk: AIMessageChunk): ReplyUsage | undefined {
  const usage = chunk.response_metadata.usage as GenerationUsage | undefined;
  return (
    usage && {
      promptTokens: usage.promptTokens,
      completionTokens: usage.completionTokens,
      firstTokenMs: usage.firstTokenMs,
      computeMs: usage.computeMs,
    }
  );
}
