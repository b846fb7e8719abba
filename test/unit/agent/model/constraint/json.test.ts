/** JSON constraints on the shipped vocabulary: whatever is drawn, the text is valid under its schema by ajv's judgement. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonTexts } from '../../../../../agent/model/constraint/json.ts';
import { randomFrom } from '../../../../../agent/model/sampling.ts';
import { tokenizer } from '../seedling.ts';

type Schema = Record<string, unknown>;
const texts = new JsonTexts(tokenizer.bytes);
const ajv = () => new Ajv2020({ strict: false, allErrors: false, logger: false, validateFormats: false });

/** Tokens of a single byte. */
const isByte = Uint8Array.from({ length: 10_240 }, (_, token) => Number(tokenizer.bytes.get(token)?.length === 1));

interface Written {
  text: string;
  ended: boolean;
}

/**
 * A reply of random tokens. Uniform draws would hardly ever leave a string of ten thousand characters, so now and then
 * the draw is among the shortest tokens, where quotes and brackets are.
 */
function write(schema: Schema | undefined, seed: number, maxTokens = 120): Written {
  const random = randomFrom(seed);
  const reply = texts.begin(schema);
  const said: number[] = [];
  while (said.length < maxTokens) {
    const allowed = reply.allowed(maxTokens - said.length);
    if (reply.ended || (reply.complete && (allowed.length === 0 || random() < 0.5))) break;
    const few: number[] = [];
    for (let i = 0; i < allowed.length; i++) if (isByte[allowed[i]!]) few.push(allowed[i]!);
    const list = few.length > 0 && random() < 0.6 ? few : allowed;
    const token = list[Math.floor(random() * list.length)]!;
    said.push(token);
    reply.push(token);
  }
  return { text: tokenizer.decode(said), ended: reply.complete };
}

function expectValid(schema: Schema, { text, ended }: Written): unknown {
  expect(ended, text).toBe(true);
  const value = JSON.parse(text);
  const validate = ajv().compile(schema);
  expect(validate(value), `${JSON.stringify(schema)}\n${text}\n${JSON.stringify(validate.errors)}`).toBe(true);
  return value;
}

const name = fc.constantFrom('名字', 'age', 'a', 'ab', '"q"', 'x/y', '豆豆');
const small = fc.integer({ min: -30, max: 30 });
const hundredths = fc.integer({ min: -3000, max: 3000 });

/** Schemas of every supported kind, all of which something satisfies. */
const { schema } = fc.letrec<{ schema: Schema; leaf: Schema }>((tie) => ({
  leaf: fc.oneof(
    fc.constant({ type: 'boolean', title: 'yes?' }),
    fc.constant({ type: 'null' }),
    fc.record({ type: fc.constant('string'), minLength: fc.nat(5) }, { requiredKeys: ['type'] }),
    fc.tuple(fc.nat(5), fc.nat(20)).map(([a, b]) => ({ type: 'string', minLength: a, maxLength: a + b })),
    fc
      .constantFrom('^[a-c]{2,4}$', '^\\d+-[^x]$', '春|夏', '^(?:a|bc)*d?$', '\\w\\.$')
      .map((pattern) => ({ pattern }))
      .map((s) => ({ ...s, type: 'string' })),
    fc.constant({ type: 'integer' }),
    fc.constant({ type: 'number' }),
    fc.tuple(small, fc.nat(300)).map(([a, b]) => ({ type: 'integer', minimum: a, exclusiveMaximum: a + b + 1 })),
    fc
      .tuple(hundredths, fc.nat(300))
      .map(([a, b]) => ({ type: 'number', exclusiveMinimum: a / 100, maximum: (a + b + 10) / 100 })),
    small.map((minimum) => ({ type: ['number', 'null'], minimum })),
    fc.array(fc.jsonValue({ maxDepth: 2 }), { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
    fc.jsonValue({ maxDepth: 2 }).map((value) => ({ const: value })),
    fc.constant({ type: ['string', 'integer'] }),
    fc.constant({}),
  ),
  schema: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    tie('leaf'),
    fc.record(
      {
        type: fc.constant('array'),
        items: tie('schema'),
        minItems: fc.nat(2),
        maxItems: fc.integer({ min: 2, max: 4 }),
      },
      { requiredKeys: ['type'] },
    ),
    fc
      .tuple(
        fc.dictionary(name, tie('schema'), { maxKeys: 4 }),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        fc.oneof(fc.constantFrom(undefined, false, true), tie('leaf')),
      )
      .map(([properties, needed, additionalProperties]) => ({
        type: 'object',
        properties,
        required: Object.keys(properties).filter((_, i) => needed[i]),
        ...(additionalProperties !== undefined && { additionalProperties }),
      })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
}));

describe('JSON constraint', () => {
  it('writes only what ajv accepts, for any schema and any luck', () => {
    fc.assert(
      fc.property(schema, fc.nat(), (value, seed) => {
        // Room for the longest literals that are drawn, a few times over.
        expectValid(value, write(value, seed, 3_000));
      }),
      { numRuns: 200 },
    );
  });

  it('ends in time whenever it can', () => {
    const value = {
      type: 'object',
      properties: { a: { type: 'string', minLength: 3 }, b: { type: 'array', items: { type: 'integer' } } },
      required: ['a', 'b'],
    };
    // {"a":"xyz","b":[]} in tokens of one byte.
    for (let seed = 0; seed < 60; seed++) expectValid(value, write(value, seed, 18 + (seed % 8)));
    const late = write(value, 1, 5);
    expect(late.ended).toBe(false);
  });

  it('knows recursion, and ends it', () => {
    const tree = {
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
          required: ['name', 'children'],
          additionalProperties: false,
        },
      },
    };
    const depth = (node: { children: unknown[] }): number =>
      1 + Math.max(0, ...node.children.map((child) => depth(child as { children: unknown[] })));
    const depths = Array.from({ length: 30 }, (_, seed) =>
      depth(expectValid(tree, write(tree, seed, 300)) as { children: unknown[] }),
    );
    expect(Math.max(...depths)).toBeGreaterThan(2);
    const chain = {
      anyOf: [{ type: 'null' }, { type: 'object', properties: { next: { $ref: '#' } }, required: ['next'] }],
    };
    for (let seed = 0; seed < 20; seed++) expectValid(chain, write(chain, seed));
  });

  it('keeps the order of properties, skips optional ones, and spaces nothing but commas and colons', () => {
    const value = {
      type: 'object',
      properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } },
      required: ['b'],
      additionalProperties: false,
    };
    const seen = new Set(Array.from({ length: 80 }, (_, seed) => write(value, seed).text.replaceAll(' ', '')));
    expect(seen).toEqual(new Set(['{"b":2}', '{"a":1,"b":2}', '{"b":2,"c":3}', '{"a":1,"b":2,"c":3}']));
    for (let seed = 0; seed < 40; seed++) expect(write(value, seed).text).toMatch(/^(?:[^ ]|(?<=[,:]) (?! ))*$/);
  });

  it('writes any object when no schema is given', () => {
    const kinds = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const { text, ended } = write(undefined, seed);
      expect(ended).toBe(true);
      const value = JSON.parse(text);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      for (const inner of Object.values(value)) kinds.add(Array.isArray(inner) ? 'array' : typeof inner);
    }
    expect(kinds.size).toBeGreaterThan(3);
  });

  it('writes the formats it knows', () => {
    const checks: Record<string, (text: string) => boolean> = {
      date: (text) => new Date(`${text}T00:00:00Z`).toISOString().startsWith(text),
      'date-time': (text) => !Number.isNaN(Date.parse(text)),
      ipv4: (text) => text.split('.').every((part) => Number(part) <= 255 && String(Number(part)) === part),
      uuid: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
      email: (text) => /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(text),
    };
    for (const [format, check] of Object.entries(checks))
      for (let seed = 0; seed < 15; seed++)
        expect(check(JSON.parse(write({ type: 'string', format }, seed).text)), format).toBe(true);
  });

  it('merges keywords beside a reference, anyOf and allOf', () => {
    const values: Schema[] = [
      { $defs: { n: { type: 'integer', minimum: 3 } }, $ref: '#/$defs/n', maximum: 5 },
      {
        type: 'object',
        properties: { a: { type: 'integer' }, b: { type: 'integer' } },
        anyOf: [{ required: ['a'] }, { required: ['b'] }],
      },
      { allOf: [{ type: ['string', 'number'] }, { type: 'integer' }, { minimum: 7 }, { maximum: 9 }] },
      { type: 'string', enum: ['a', 'bb', 'ccc', 4], minLength: 2 },
    ];
    for (const value of values) for (let seed = 0; seed < 20; seed++) expectValid(value, write(value, seed));
  });

  const impossible: Schema[] = [
    { enum: ['a'], type: 'integer' },
    { type: 'integer', minimum: 3, maximum: 2 },
    { type: 'string', minLength: 3, maxLength: 2 },
    { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] },
    { type: 'object', properties: {}, required: ['a'], additionalProperties: false },
    { type: 'array', items: { enum: [1], type: 'string' }, minItems: 1 },
    { anyOf: [{ allOf: [true, false] }, { type: 'number', exclusiveMinimum: 1, exclusiveMaximum: 1 }] },
  ];
  it.each(impossible)('%j is impossible', (value) => {
    expect(() => texts.begin(value)).toThrow(expect.objectContaining({ code: 'CONSTRAINT_IMPOSSIBLE' }));
  });

  const refused: [Schema, string][] = [
    [{ type: 'object', properties: { a: { type: 'number', multipleOf: 2 } } }, '"multipleOf"'],
    [{ oneOf: [{ type: 'string' }] }, '"oneOf"'],
    [{ type: 'string', minLenght: 3 }, '"minLenght"'],
    [{ type: 'object', properties: { 'a/b': { type: 'text' } } }, '/properties/a~1b'],
    [{ type: 'string', pattern: '(?=a)b' }, 'pattern'],
    [{ type: 'string', pattern: '(' }, 'regular expression'],
    [{ type: 'string', pattern: '^a*$', minLength: 2 }, 'minLength'],
    [{ type: 'string', format: 'iri' }, 'iri'],
    [{ $ref: 'https://example.org/other.json' }, 'outside'],
    [{ $ref: '#/$defs/none' }, 'nowhere'],
    [{ $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }, 'itself'],
    [{ anyOf: [] }, '/anyOf'],
    [{ anyOf: [{ type: 'string' }, 3] } as Schema, '/anyOf/1'],
    [{ type: 'array', minItems: -1 }, 'minItems'],
    [{ type: 'array', maxItems: '3' }, 'maxItems'],
    [{ type: 'number', minimum: 0.1 + 0.2 }, 'minimum'],
    [{ type: 'object', required: 'a' }, 'required'],
    [{ type: 'object', properties: [] }, 'properties'],
    [{ description: 'x'.repeat(100_000) }, 'longer'],
  ];
  it.each(refused)('%j is refused by name', (value, named) => {
    expect(() => texts.begin(value)).toThrow(
      expect.objectContaining({ code: 'CONSTRAINT_UNSUPPORTED', message: expect.stringContaining(named) }),
    );
  });

  it('says nothing worse than a coded error to schemas made of anything', () => {
    const keys = 'type properties required items enum const anyOf allOf $ref minimum pattern minLength $defs'.split(
      ' ',
    );
    const junk = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
    fc.assert(
      fc.property(junk, fc.nat(), (value, seed) => {
        let written: Written;
        try {
          written = write(value, seed);
        } catch (error) {
          expect(error).toMatchObject({ name: 'ModelError', code: expect.stringMatching(/^CONSTRAINT_/) });
          return;
        }
        if (written.ended) JSON.parse(written.text);
      }),
      { numRuns: 200 },
    );
  });
});
