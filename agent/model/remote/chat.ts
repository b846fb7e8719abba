/**
 * LangChain's chat model with two promises more: a stream that ends before the reply did is an error, not a short reply,
 * and what the model thought before it spoke is not part of what it said.
 */
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import { AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { ChatGenerationChunk } from '@langchain/core/outputs';
import { ChatOpenAICompletions } from '@langchain/openai';
import { ModelError } from '../types.ts';
import { withoutThinking } from './thinking.ts';

/** Not `ChatOpenAI`: by the model's name that one may choose an endpoint which only OpenAI itself has. */
export class RemoteChat extends ChatOpenAICompletions {
  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const spoken = withoutThinking();
    let finished = false;
    for await (const chunk of super._streamResponseChunks(messages, options, runManager)) {
      if (typeof chunk.generationInfo?.finish_reason === 'string') {
        finished = true;
        const held = spoken.end();
        if (held !== '') yield* say(held, runManager);
      }
      if (chunk.text !== '') {
        chunk.text = spoken.push(chunk.text);
        chunk.message.content = chunk.text;
      }
      // LangChain tells its listeners of this very object after it was yielded.
      yield chunk;
    }
    if (!finished && !options.signal?.aborted)
      throw new ModelError('REMOTE_FAILED', 'the server broke off before the reply was complete');
  }
}

async function* say(text: string, runManager?: CallbackManagerForLLMRun): AsyncGenerator<ChatGenerationChunk> {
  const chunk = new ChatGenerationChunk({ text, message: new AIMessageChunk({ content: text }) });
  yield chunk;
  await runManager?.handleLLMNewToken(text, undefined, undefined, undefined, undefined, { chunk });
}
