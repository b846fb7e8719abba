/**
 * What OpenAI's clients may send, as far as this server reads it: OpenAI's own fields, and the extras vLLM and llama.cpp
 * have made common. Fields not named here are dropped unread, as OpenAI does. Shapes only; what is understood but cannot
 * be served is refused in `call.ts`.
 */
import { z } from 'zod';

/** Choices of one request, over all its prompts: half of what the model computes together, so that one call cannot fill it. */
export const MAX_CHOICES = 16;
/** Texts of one embeddings request. */
const MAX_INPUTS = 256;
const MAX_STOPS = 16;
/** OpenAI's own bound, and the model's. */
const MAX_TOP_LOGPROBS = 20;
const MAX_TEMPERATURE = 2;
/** Far beyond use; keeps a logit finite. */
const MAX_REPETITION_PENALTY = 10;

const penalty = z.number().min(-2).max(2).nullish();
const unread = z.unknown().optional();

const ResponseFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    json_schema: z.object({ name: z.string(), schema: z.record(z.string(), z.unknown()).optional() }),
  }),
]);

const common = {
  model: z.string(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(MAX_TEMPERATURE).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  /** −1 and 0 both switch it off. */
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).max(MAX_REPETITION_PENALTY).nullish(),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  n: z.int().min(1).max(MAX_CHOICES).nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(MAX_STOPS)]).nullish(),
  seed: z.int().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  response_format: ResponseFormat.nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
  user: z.string().nullish(),
};

/** A part is read whatever its type, so that a picture can be refused by name. */
const Part = z.object({ type: z.string(), text: z.string().optional() });
const Message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(Part)]).nullish(),
  tool_calls: unread,
  function_call: unread,
});

export const ChatRequest = z.object({
  ...common,
  messages: z.array(Message).min(1),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).nullish(),
  modalities: z.array(z.string()).nullish(),
  tools: unread,
  tool_choice: unread,
  functions: unread,
});
export type ChatRequest = z.infer<typeof ChatRequest>;

export const CompletionRequest = z.object({
  ...common,
  /** Token ids parse, too, so that they can be refused by name. */
  prompt: z.union([z.string(), z.array(z.union([z.string(), z.number(), z.array(z.number())])).min(1)]),
  logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).nullish(),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  best_of: z.int().nullish(),
});
export type CompletionRequest = z.infer<typeof CompletionRequest>;

export const EmbeddingRequest = z.object({
  model: z.string(),
  input: z.union([
    z.string(),
    z
      .array(z.union([z.string(), z.number(), z.array(z.number())]))
      .min(1)
      .max(MAX_INPUTS),
  ]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().nullish(),
});
export type EmbeddingRequest = z.infer<typeof EmbeddingRequest>;
