/**
 * Plain talk of a remote model that can call tools, through LangChain's agent: it may look something up or keep a sentence,
 * a bounded number of times, and then it speaks. Where the server refuses tools, or nothing comes of them, she talks
 * without; nothing that was said is ever said twice.
 */
import { AIMessageChunk, createAgent } from 'langchain';
import type { Sampling } from '../../model/index.ts';
import type { ReplyUsage, SkillEvent, SkillRequest } from '../types.ts';
import { freely, MAX_REPLY_TOKENS, toLangChain } from './freely.ts';

/** Rounds of calls in one turn: look up, look up once more, keep, and one to spare. After that she has to speak. */
const ROUNDS = 4;
/** The graph takes two steps a round, and one for the words at the end. */
const STEPS = 2 * ROUNDS + 1;

/** What a call that says nothing is sampled with. */
const PLAIN: Sampling = { temperature: 0.7, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

export async function* withTools(
  request: SkillRequest,
  brain: NonNullable<SkillRequest['brain']>,
): AsyncGenerator<SkillEvent, void, undefined> {
  const { remote, toolbox } = brain;
  const { messages, signal } = request;
  const started = performance.now();
  const usage: ReplyUsage = { promptTokens: 0, completionTokens: 0, firstTokenMs: 0, computeMs: 0 };
  const agent = createAgent({
    model: remote.chat({ sampling: { ...PLAIN, ...request.sampling }, maxTokens: MAX_REPLY_TOKENS }),
    tools: toolbox.tools,
  });
  const refusals = remote.refusals;
  // Whoever stops listening, for whatever reason, ends the calls too.
  const left = new AbortController();
  let said = '';
  let round: unknown;
  let pieces = 0;
  let refused = false;
  try {
    const stream = await agent.stream(
      { messages: messages.map(toLangChain) },
      { streamMode: 'messages', signal: AbortSignal.any([signal, left.signal]), recursionLimit: STEPS },
    );
    for await (const [chunk, { langgraph_step: step }] of stream) {
      // A broken database is not for her to talk around.
      if (toolbox.failure() !== undefined) throw toolbox.failure();
      yield* toolbox.news();
      if (!AIMessageChunk.isInstance(chunk)) continue;
      const counted = chunk.usage_metadata as { input_tokens: number; output_tokens: number } | undefined;
      usage.promptTokens += counted?.input_tokens ?? 0;
      usage.completionTokens += counted?.output_tokens ?? 0;
      const { text } = chunk;
      if (text === '') continue;
      if (said === '') usage.firstTokenMs = performance.now() - started;
      // Words before a call and words after it are two paragraphs.
      const gap = said !== '' && step !== round ? '\n' : '';
      round = step;
      pieces++;
      said += gap + text;
      yield { type: 'delta', text: gap + text };
    }
    if (toolbox.failure() !== undefined) throw toolbox.failure();
    remote.canCallTools = true;
  } catch (error) {
    if (!signal.aborted) {
      const failure = toolbox.failure();
      if (failure !== undefined) throw failure;
      refused = said === '' && !toolbox.used() && remote.isIncapable(error);
      if (!refused && !(said === '' && isEndless(error))) throw remote.explain(error);
    }
  } finally {
    left.abort();
  }
  yield* toolbox.news();
  // A server that does not count: pieces are mostly tokens.
  if (usage.completionTokens === 0) usage.completionTokens = pieces;
  if (said === '' && !signal.aborted) {
    const again = performance.now() - started;
    for await (const event of freely(request)) {
      if (event.type !== 'end') yield event;
      else {
        usage.promptTokens += event.usage.promptTokens;
        usage.completionTokens += event.usage.completionTokens;
        usage.firstTokenMs = again + event.usage.firstTokenMs;
      }
    }
    // Without tools it works, and nothing else had to be left out: then tools were what the server could not do.
    if (refused && remote.refusals === refusals) remote.canCallTools = false;
  }
  yield { type: 'end', stopped: signal.aborted, usage };
}

/** The model kept calling until the steps ran out. */
function isEndless(error: unknown): boolean {
  return error instanceof Error && error.name === 'GraphRecursionError';
}
