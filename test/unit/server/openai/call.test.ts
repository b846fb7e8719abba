/** From bodies to what the model is asked for: whatever is sent, either a call comes out or one named parameter is wrong. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readChat, readCompletion } from '../../../../server/http/openai/call.ts';
import { ParameterError, parseBody } from '../../../../server/http/openai/errors.ts';
import { addUsage } from '../../../../server/http/openai/format.ts';
import { ChatRequest, CompletionRequest } from '../../../../server/http/openai/schema.ts';

const chat = (more: object) =>
  readChat(parseBody(ChatRequest, { model: 'xiaohe', messages: [{ role: 'user', content: '好' }], ...more }), 'api:a');
const completion = (more: object) =>
  readCompletion(parseBody(CompletionRequest, { model: 'xiaohe', prompt: '好', ...more }), 'api:a');

describe('calls', () => {
  it('carry every wish to the model', () => {
    const { requests, ...rest } = chat({
      max_completion_tokens: 9,
      max_tokens: 5,
      temperature: 0.2,
      top_p: 0.5,
      top_k: -1,
      min_p: 0.1,
      repetition_penalty: 1.3,
      n: 2,
      seed: 40,
      stop: '。',
      logprobs: true,
      top_logprobs: 4,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(rest).toEqual({ n: 2, stream: true, includeUsage: true, logprobs: 4 });
    const sampling = { temperature: 0.2, topK: 0, topP: 0.5, minP: 0.1, repetitionPenalty: 1.3 };
    expect(requests).toEqual(
      [40, 41].map((seed) => ({
        messages: [{ role: 'user', content: '好' }],
        maxTokens: 9,
        sampling: { ...sampling, seed },
        stop: ['。'],
        topLogprobs: 4,
        person: 'api:a',
      })),
    );
  });

  it('ask for JSON without a penalty on its marks, unless told', () => {
    const schema = { type: 'object' };
    const response_format = { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } };
    const [request] = chat({ response_format }).requests;
    expect(request).toMatchObject({ constraint: { kind: 'json', schema }, sampling: { repetitionPenalty: 1 } });
    const [told] = completion({ response_format: { type: 'json_object' }, repetition_penalty: 1.2 }).requests;
    expect(told).toMatchObject({ prompt: '好', sampling: { repetitionPenalty: 1.2 } });
    expect(told!.constraint).toEqual({ kind: 'json' });
    expect(chat({ response_format: { type: 'text' } }).requests[0]!.constraint).toBeUndefined();
  });

  it('bound the choices over all prompts', () => {
    expect(completion({ prompt: ['一', '二'], n: 8 }).requests).toHaveLength(16);
    expect(() => completion({ prompt: ['一', '二', '三'], n: 8 })).toThrow(expect.objectContaining({ param: 'n' }));
  });

  it.each([
    [{ echo: true }, 'echo'],
    [{ suffix: 'x' }, 'suffix'],
    [{ best_of: 3 }, 'best_of'],
    [{ prompt: [1, 2] }, 'prompt'],
    [{ prompt: '' }, 'prompt'],
    [{ prompt: [] }, 'prompt'],
  ])('refuse %j', (more, param) => {
    expect(() => completion(more)).toThrow(expect.objectContaining({ param }));
  });

  it('come of any body, or one parameter is named in both languages', () => {
    const value = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom<unknown>(null, 0, 1, -1, 0.5, true, '', '好', [], {}, ['a'], [['a']]) },
      { weight: 1, arbitrary: fc.anything() },
    );
    const fields = Object.fromEntries(
      [...Object.keys(ChatRequest.shape), ...Object.keys(CompletionRequest.shape)].map((name) => [name, value]),
    );
    fc.assert(
      fc.property(fc.record(fields, { requiredKeys: [] }), fc.boolean(), (body, whole) => {
        for (const make of [chat, completion])
          try {
            expect(make(whole ? body : { ...body, messages: undefined, prompt: '好' }).requests.length).toBeGreaterThan(
              0,
            );
          } catch (error) {
            expect(error).toBeInstanceOf(ParameterError);
            expect((error as Error).message).toMatch(/[a-z].*\p{Script=Han}/su);
          }
      }),
      { numRuns: 500 },
    );
  });
});

describe('usage', () => {
  it('counts a prompt once for all its choices', () => {
    const of = (promptTokens: number, completionTokens: number) => ({
      ...{ promptTokens, completionTokens, cachedTokens: 2, firstTokenMs: 0, totalMs: 0, computeMs: 0 },
    });
    const used = new Map([of(10, 1), of(10, 2), of(20, 3), of(20, 4)].entries());
    expect(addUsage(used, 2)).toEqual({
      prompt_tokens: 30,
      completion_tokens: 10,
      total_tokens: 40,
      prompt_tokens_details: { cached_tokens: 4 },
    });
  });
});
