/** Forms over servers that help and servers that do not: every reply that is shown was checked, and failure is honest. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { openRemote, type RemoteModel } from '../../../../../agent/model/remote/index.ts';
import { jsonForm } from '../../../../../agent/model/remote/json-form.ts';
import { verseForm } from '../../../../../agent/model/remote/verse-form.ts';
import type { Constraint, GenerateEvent, Slot } from '../../../../../agent/model/types.ts';
import { type Answer, type Asked, type OpenAIServer, startOpenAI } from '../../../../support/openai-server.ts';

let server: OpenAIServer;
let model: RemoteModel;
afterEach(async () => {
  await model?.close();
  await server?.close();
});

async function open(answer: (asked: Asked, count: number) => Answer, owner = 'vllm') {
  server = await startOpenAI({ answer, models: [{ id: 'm', owned_by: owner }] });
  model = await openRemote({ remote: { url: server.url } });
}
async function say(constraint: Constraint, maxTokens = 32): Promise<Extract<GenerateEvent, { type: 'end' }>> {
  let text = '';
  const sampling = { temperature: 0.8, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 100 };
  const messages = [{ role: 'user' as const, content: '对下联：春风' }];
  for await (const event of model.generate({ messages, maxTokens, sampling, constraint })) {
    if (event.type === 'token') text += event.text;
    else {
      expect(text).toBe(event.text);
      return event;
    }
  }
  throw new Error('no end');
}
/** 天 or 地, a comma, anything but 天 that differs from the first. */
const PAIR: Constraint = { kind: 'slots', slots: [{ allow: '天地' }, { allow: '，' }, { deny: '天', differ: [0] }] };

describe('verse', () => {
  it('is asked for as a regular expression, and shown as it came', async () => {
    await open(() => ({ pieces: ['天', '，', '人'], logprobs: [-1, -2, -3] }));
    expect((await say(PAIR)).text).toBe('天，人');
    const { regex } = server.asked[0]!.body.structured_outputs;
    expect('地，天').not.toMatch(new RegExp(`^${regex}$`));
    expect('地，人').toMatch(new RegExp(`^${regex}$`));
  });

  it('that repeats what it must not is tried again with other seeds', async () => {
    await open((_, count) => ({ pieces: [count < 3 ? '地，地' : '地，水'] }));
    expect((await say(PAIR)).text).toBe('地，水');
    expect(server.asked.map(({ body }) => body.seed)).toEqual([100, 101, 102]);
  });

  it('goes to the older name, then to words, where nobody heeds, and remembers that', async () => {
    await open(({ body }) => ({
      pieces: ['messages' in body && JSON.stringify(body).includes('□，□') ? '下联：天，\n水。' : '好的！'],
    }));
    expect((await say(PAIR)).text).toBe('天，水');
    expect(
      server.asked.map(({ body }) => ['structured_outputs', 'guided_regex', 'grammar'].find((name) => name in body)),
    ).toEqual(['structured_outputs', 'guided_regex', 'grammar', undefined]);
    await say(PAIR);
    expect(server.asked).toHaveLength(5);
  });

  it('goes on where the field is refused', async () => {
    await open(({ body }) =>
      'structured_outputs' in body
        ? { status: 400, message: 'structured_outputs: extra fields' }
        : { pieces: ['天，水'] },
    );
    expect((await say(PAIR)).text).toBe('天，水');
    expect(server.asked).toHaveLength(2);
  });

  it('is asked of llama.cpp as a grammar', async () => {
    await open(() => ({ pieces: ['地，水'] }), 'llamacpp');
    expect((await say(PAIR)).text).toBe('地，水');
    expect(server.asked[0]!.body.grammar).toMatch(/^root ::= c0 c1 c2\nc0 ::= \[地天\]\nc1 ::= \[，\]\nc2 ::= \[一-/);
  });

  it('that never comes is an honest failure after a bounded number of tries', async () => {
    await open(() => ({ pieces: ['我不会'] }));
    await expect(say(PAIR)).rejects.toMatchObject({ code: 'CONSTRAINT_IMPOSSIBLE' });
    expect(server.asked).toHaveLength(7);
  });

  it('that nobody could write is refused without asking', async () => {
    await open(() => ({ pieces: ['天'] }));
    await expect(say({ kind: 'slots', slots: [] })).rejects.toMatchObject({ code: 'CONSTRAINT_IMPOSSIBLE' });
    await expect(say({ kind: 'slots', slots: [{ allow: '天', deny: '天' }] })).rejects.toMatchObject({
      code: 'CONSTRAINT_IMPOSSIBLE',
    });
    expect(server.asked).toHaveLength(0);
  });

  it('passes on what really went wrong', async () => {
    await open(() => ({ status: 401 }));
    await expect(say(PAIR)).rejects.toMatchObject({ code: 'REMOTE_FAILED' });
    expect(server.asked).toHaveLength(1);
  });
});

describe('the form of a verse', () => {
  const han = fc.integer({ min: 0x4e00, max: 0x4e20 }).map((code) => String.fromCodePoint(code));
  const slots: fc.Arbitrary<Slot[]> = fc.array(
    fc.oneof(
      fc.record({ allow: fc.array(han, { minLength: 1, maxLength: 5 }).map((chars) => chars.join('')) }),
      fc.record({ deny: fc.array(han, { maxLength: 5 }).map((chars) => chars.join('')) }),
      fc.constantFrom({ allow: '，' }, { allow: '。\n-]^\\[' }, {}),
    ),
    { minLength: 1, maxLength: 5 },
  );

  it('the expression allows exactly what the places allow', () => {
    fc.assert(
      fc.property(
        slots,
        fc.array(fc.oneof(han, fc.constantFrom('，', '\n', '-', ']', 'x')), { maxLength: 6 }),
        (list, chars) => {
          const form = verseForm({ kind: 'slots', slots: list });
          const text = chars.join('');
          const allowed =
            chars.length === list.length &&
            list.every(
              ({ allow, deny }, i) =>
                (allow === undefined ? /\p{Script=Han}/u.test(chars[i]!) : allow.includes(chars[i]!)) &&
                !deny?.includes(chars[i]!),
            );
          expect(form.fitsPlaces(text)).toBe(allowed);
          expect(new RegExp(`^(?:${form.regex})$`, 'u').test(text)).toBe(allowed);
        },
      ),
    );
  });

  it('is found within a reply, and keeps repeats and differences', () => {
    const form = verseForm({
      kind: 'slots',
      slots: [{}, { differ: [0] }, { allow: '，' }, { same: 0 }, { allow: '。\n' }, { differ: [0, 1] }],
    });
    expect(form.shape).toBe('□□，□□□');
    expect(form.find('好：山水，山。人')).toBe('山水，山。人');
    expect(form.find('山山，山。人')).toBeUndefined();
    expect(form.find('山水，水。人')).toBeUndefined();
    expect(form.find('山水，山。水')).toBeUndefined();
    expect(form.find('')).toBeUndefined();
  });
});

describe('JSON', () => {
  const schema = {
    type: 'object',
    properties: { age: { type: 'integer' } },
    required: ['age'],
    additionalProperties: false,
  };

  it('is asked for in the form of OpenAI and checked', async () => {
    await open((_, count) => ({ pieces: count === 1 ? ['{"age":', '"six"}'] : ['{"age":', ' 6}'] }));
    expect((await say({ kind: 'json', schema })).text).toBe('{"age": 6}');
    expect(server.asked[0]!.body.response_format).toEqual({
      type: 'json_schema',
      json_schema: { name: 'reply', schema },
    });
  });

  it('is asked for in words where the server cannot, and taken out of its wrapping', async () => {
    await open(({ body }) =>
      'response_format' in body
        ? { status: 400, message: 'response_format is not supported' }
        : { pieces: ['Sure:\n```json\n{"age": 6}\n```'] },
    );
    expect((await say({ kind: 'json', schema })).text).toBe('{"age": 6}');
    expect(server.asked[1]!.body.response_format).toEqual({ type: 'json_object', schema });
    expect(server.asked[2]!.body.messages.at(-1).content).toContain(JSON.stringify(schema));
  });

  it('that is never valid is a failure', async () => {
    await open(() => ({ pieces: ['[1, 2'], finish: 'length' }));
    await expect(say({ kind: 'json' })).rejects.toMatchObject({ code: 'CONSTRAINT_IMPOSSIBLE' });
  });

  it('a schema that is none is refused', () => {
    expect(() => jsonForm({ kind: 'json', schema: { $ref: '#/nowhere' } }).find('{}')).toThrow(
      expect.objectContaining({ code: 'CONSTRAINT_UNSUPPORTED' }),
    );
  });
});
