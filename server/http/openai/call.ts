/**
 * From a parsed request to what the model is asked for. Pure. Whatever would change the answer and cannot be done is
 * refused by name, because an answer that silently ignores a wish is a wrong answer.
 */
import type {
  ChatMessage,
  Constraint,
  GenerateOptions,
  GenerateRequest,
  Sampling,
} from '../../../agent/model/index.ts';
import { ParameterError } from './errors.ts';
import { type ChatRequest, type CompletionRequest, type EmbeddingRequest, MAX_CHOICES } from './schema.ts';

/** What the shipped checkpoint's generation_config.json recommends; vLLM takes its defaults from there, too. */
const DEFAULTS: Sampling = { temperature: 0.7, topK: 0, topP: 0.9, minP: 0, repetitionPenalty: 1.1 };
/** Chat without a limit: a quarter of the shipped context. A reply holds its memory from the start, so all of it is dear. */
const CHAT_TOKENS = 512;
/** OpenAI's default for plain completions. */
const COMPLETION_TOKENS = 16;

export interface Call {
  /** The choices in order: all of the first prompt, then all of the second. */
  requests: GenerateRequest[];
  /** Choices a prompt. */
  n: number;
  stream: boolean;
  includeUsage: boolean;
  /** Alternatives listed per token; absent: no log-probabilities at all. */
  logprobs: number | undefined;
}

export function readChat(body: ChatRequest, person: string): Call {
  refuseCommon(body);
  refuse('tools', filled(body.tools) || filled(body.functions));
  refuse(
    'modalities',
    body.modalities?.some((modality) => modality !== 'text'),
  );
  if (typeof body.top_logprobs === 'number' && !body.logprobs)
    throw new ParameterError('top_logprobs', 'invalid_value', {
      zh: 'top_logprobs 要和 logprobs: true 一起用。',
      en: 'top_logprobs needs logprobs: true.',
    });
  const messages = body.messages.map(readMessage);
  const logprobs = body.logprobs ? (body.top_logprobs ?? 0) : undefined;
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? CHAT_TOKENS;
  return readCall(body, [{ messages }], { maxTokens, person }, logprobs);
}

export function readCompletion(body: CompletionRequest, person: string): Call {
  refuseCommon(body);
  refuse('echo', body.echo);
  refuse('suffix', body.suffix);
  refuse('best_of', (body.best_of ?? 1) > (body.n ?? 1));
  const prompts = readTexts('prompt', body.prompt).map((prompt) => ({ prompt }));
  const maxTokens = body.max_tokens ?? COMPLETION_TOKENS;
  return readCall(body, prompts, { maxTokens, person }, body.logprobs ?? undefined);
}

export function readInputs(body: EmbeddingRequest): string[] {
  return readTexts('input', body.input);
}

type Common = ChatRequest | CompletionRequest;

function readCall(
  body: Common,
  prompts: ({ messages: ChatMessage[] } | { prompt: string })[],
  limits: { maxTokens: number; person: string },
  logprobs: number | undefined,
): Call {
  const n = body.n ?? 1;
  if (prompts.length * n > MAX_CHOICES)
    throw new ParameterError('n', 'invalid_value', {
      zh: `一次请求最多 ${MAX_CHOICES} 个回答（提示数 × n）。`,
      en: `One request may have ${MAX_CHOICES} choices at most (prompts × n).`,
    });
  const constraint = readConstraint(body.response_format);
  const sampling = readSampling(body, constraint !== undefined);
  const stop = typeof body.stop === 'string' ? [body.stop] : body.stop;
  const options: GenerateOptions = {
    ...limits,
    sampling,
    ...(stop && { stop }),
    ...(constraint && { constraint }),
    ...(logprobs !== undefined && { topLogprobs: logprobs }),
  };
  const requests = prompts.flatMap((prompt) =>
    Array.from({ length: n }, (_, choice) => ({ ...prompt, ...options, sampling: ofChoice(sampling, choice) })),
  );
  const stream = body.stream ?? false;
  if (body.stream_options && !stream)
    throw new ParameterError('stream_options', 'invalid_value', {
      zh: 'stream_options 只能和 stream: true 一起用。',
      en: 'stream_options needs stream: true.',
    });
  return { requests, n, stream, includeUsage: body.stream_options?.include_usage ?? false, logprobs };
}

/** Each choice has a seed of its own, the first the one that was given: it is what `n: 1` would have said. */
function ofChoice(sampling: Sampling, choice: number): Sampling {
  return sampling.seed === undefined ? sampling : { ...sampling, seed: sampling.seed + choice };
}

function readSampling(body: Common, json: boolean): Sampling {
  return {
    temperature: body.temperature ?? DEFAULTS.temperature,
    topK: Math.max(0, body.top_k ?? DEFAULTS.topK),
    topP: body.top_p ?? DEFAULTS.topP,
    minP: body.min_p ?? DEFAULTS.minP,
    // The marks of JSON repeat by nature.
    repetitionPenalty: body.repetition_penalty ?? (json ? 1 : DEFAULTS.repetitionPenalty),
    ...(typeof body.seed === 'number' && { seed: body.seed }),
  };
}

function readConstraint(format: Common['response_format']): Constraint | undefined {
  if (!format || format.type === 'text') return undefined;
  const schema = format.type === 'json_schema' ? format.json_schema.schema : undefined;
  return { kind: 'json', ...(schema && { schema }) };
}

function readMessage(message: ChatRequest['messages'][number], index: number): ChatMessage {
  const param = `messages[${index}]`;
  refuse(`${param}.role`, message.role === 'tool' || message.role === 'function');
  refuse(`${param}.tool_calls`, filled(message.tool_calls) || filled(message.function_call));
  const role = message.role === 'developer' ? 'system' : (message.role as ChatMessage['role']);
  const { content } = message;
  if (typeof content === 'string') return { role, content };
  if (!content)
    throw new ParameterError(`${param}.content`, 'missing_required_parameter', {
      zh: `${param}.content 不能为空。`,
      en: `${param}.content is missing.`,
    });
  const texts = content.map(({ type, text }, part) => {
    if (type !== 'text')
      throw new ParameterError(`${param}.content[${part}]`, 'unsupported_parameter', {
        zh: `这里还不能读 ${type}，只能读文字。`,
        en: `Parts of type ${type} cannot be read here yet; send text.`,
      });
    if (text !== undefined) return text;
    const at = `${param}.content[${part}].text`;
    throw new ParameterError(at, 'missing_required_parameter', { zh: `缺少 ${at}。`, en: `${at} is missing.` });
  });
  return { role, content: texts.join('') };
}

function readTexts(param: 'prompt' | 'input', given: CompletionRequest['prompt']): string[] {
  return (typeof given === 'string' ? [given] : given).map((text) => {
    if (typeof text !== 'string')
      throw new ParameterError(param, 'unsupported_parameter', {
        zh: `${param} 只能是文字，不能是词元编号。`,
        en: `${param} must be text; token ids are not taken.`,
      });
    if (text === '')
      throw new ParameterError(param, 'invalid_value', {
        zh: `${param} 不能是空的。`,
        en: `${param} must not be empty.`,
      });
    return text;
  });
}

function refuseCommon(body: Common): void {
  refuse('presence_penalty', body.presence_penalty, 'repetition_penalty');
  refuse('frequency_penalty', body.frequency_penalty, 'repetition_penalty');
  refuse('logit_bias', filled(body.logit_bias));
}

function refuse(param: string, given: unknown, instead?: string): void {
  if (!given) return;
  throw new ParameterError(param, 'unsupported_parameter', {
    zh: `这里不支持 ${param}。${instead ? `可以用 ${instead}。` : ''}`,
    en: `${param} is not supported here.${instead ? ` Try ${instead}.` : ''}`,
  });
}

/** Clients send empty lists and objects for what they do not use. */
function filled(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}
