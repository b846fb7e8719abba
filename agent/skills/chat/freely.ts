/** Free talk: the model speaks through LangChain, and it is passed on as it is spoken. */
import { AIMessage, type AIMessageChunk, HumanMessage, SystemMessage } from 'langchain';
import type { ChatMessage, GenerationUsage } from '../../model/index.ts';
import type { ReplyUsage, SkillEvent, SkillRequest } from '../types.ts';

/** Tokens of her longest sensible reply: a story of 180 characters and a little air. Longer ones wander. */
export const MAX_REPLY_TOKENS = 220;

export async function* freely(request: SkillRequest): AsyncGenerator<SkillEvent, void, undefined> {
  const { chat, messages, person, sampling, signal } = request;
  const started = performance.now();
  const usage: ReplyUsage = { promptTokens: 0, completionTokens: 0, firstTokenMs: 0, computeMs: 0 };
  let pieces = 0;
  let stopped = true;
  try {
    const stream = await chat.stream(messages.map(toLangChain), {
      sampling,
      maxTokens: MAX_REPLY_TOKENS,
      person,
      signal,
    });
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

export function toLangChain({ role, content }: ChatMessage) {
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
