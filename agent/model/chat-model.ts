/**
 * The model as a LangChain chat model: streams by token, stops on the call's signal, and reports usage and finish reason
 * in its last chunk. A thin adapter; prompts, memory and tools belong to whoever calls it.
 */
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
} from '@langchain/core/language_models/chat_models';
import { AIMessage, AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';
import type { ChatMessage, Constraint, GenerateEvent, GenerateRequest, Model, Sampling } from './types.ts';

/** What the shipped checkpoint's generation_config.json recommends. */
const DEFAULT_SAMPLING: Sampling = { temperature: 0.7, topK: 40, topP: 0.9, minP: 0, repetitionPenalty: 1.1 };
/** A long reply of a small child; longer ones wander. */
const DEFAULT_MAX_TOKENS = 256;

export interface XiaoheCallOptions extends BaseChatModelCallOptions {
  sampling?: Partial<Sampling>;
  constraint?: Constraint;
  maxTokens?: number;
  /** Whose turn in the queue this is. */
  person?: string;
}
export interface XiaoheChatModelFields extends BaseChatModelParams {
  model: Model;
  /** Defaults for calls that do not say. */
  sampling?: Partial<Sampling>;
  maxTokens?: number;
}

type End = Extract<GenerateEvent, { type: 'end' }>;

export class XiaoheChatModel extends BaseChatModel<XiaoheCallOptions> {
  readonly #model: Model;
  readonly #sampling: Sampling;
  readonly #maxTokens: number;

  constructor({ model, sampling, maxTokens, ...fields }: XiaoheChatModelFields) {
    super(fields);
    this.#model = model;
    this.#sampling = { ...DEFAULT_SAMPLING, ...sampling };
    this.#maxTokens = maxTokens ?? DEFAULT_MAX_TOKENS;
  }

  static override lc_name(): string {
    return 'XiaoheChatModel';
  }

  override _llmType(): string {
    return 'xiaohe';
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    for await (const event of this.#model.generate(this.#request(messages, options))) {
      if (event.type === 'token' && event.text === '') continue;
      const text = event.type === 'token' ? event.text : '';
      const message =
        event.type === 'token'
          ? new AIMessageChunk({ content: text })
          : this.#describe(new AIMessageChunk({ content: '' }), event);
      const chunk = new ChatGenerationChunk({ text, message });
      yield chunk;
      await runManager?.handleLLMNewToken(text, undefined, undefined, undefined, undefined, { chunk });
    }
  }

  override async _generate(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): Promise<ChatResult> {
    for await (const event of this.#model.generate(this.#request(messages, options))) {
      if (event.type === 'token') {
        if (event.text !== '') await runManager?.handleLLMNewToken(event.text);
        continue;
      }
      options.signal?.throwIfAborted();
      const message = this.#describe(new AIMessage({ content: event.text }), event);
      return { generations: [{ text: event.text, message }] };
    }
    throw new Error('the model ended without an end');
  }

  #request(messages: BaseMessage[], options: this['ParsedCallOptions']): GenerateRequest {
    const { sampling, constraint, maxTokens, person, stop, signal } = options;
    return {
      messages: messages.map(toChatMessage),
      maxTokens: maxTokens ?? this.#maxTokens,
      sampling: { ...this.#sampling, ...sampling },
      ...(stop && { stop }),
      ...(constraint && { constraint }),
      ...(person !== undefined && { person }),
      ...(signal && { signal }),
    };
  }

  #describe<Message extends AIMessage | AIMessageChunk>(message: Message, { reason, usage }: End): Message {
    const { checkpoint, engine } = this.#model.info;
    // Assigned, because LangChain's types know no usage under `exactOptionalPropertyTypes`.
    return Object.assign(message, {
      usage_metadata: {
        input_tokens: usage.promptTokens,
        output_tokens: usage.completionTokens,
        total_tokens: usage.promptTokens + usage.completionTokens,
        input_token_details: { cache_read: usage.cachedTokens },
      },
      response_metadata: {
        model_name: `${checkpoint.name}-${checkpoint.version}`,
        engine: engine.name,
        finish_reason: reason,
        usage,
      },
    });
  }
}

const ROLES: Record<string, ChatMessage['role']> = { system: 'system', human: 'user', ai: 'assistant' };

function toChatMessage(message: BaseMessage): ChatMessage {
  const role = ROLES[message.getType()];
  if (!role) throw new TypeError(`the model knows no ${message.getType()} messages`);
  return { role, content: message.text };
}
