/**
 * JSON Schema → the JSON texts it allows, as an expression. What is written is a subset of what the schema allows: compact
 * but for one optional space after a comma or colon, properties in the schema's order, bounded nesting where the schema
 * sets no bound. Every keyword is kept, known to mean nothing for validity, or refused by name. Pure.
 */
import { ModelError } from '../types.ts';
import { type Expression, Grammar, type Reference } from './grammar.ts';
import { matched, matchedByFormat, Unsupported } from './pattern.ts';
import { type Bounds, isPlain, number, quoted, stringCharacter } from './text.ts';

/** Characters of the schema's JSON: OpenAI's own bound is 120,000; ours keeps compiling below some tens of milliseconds. */
const MOST_SCHEMA_CHARACTERS = 60_000;
/** Arrays and objects inside a value that no schema describes. A small model opens brackets more readily than it closes them. */
const FREE_DEPTH = 4;
/** Items of an array, and keys of an object, that the schema leaves open: a list longer than this is a loop. */
const FREE_ITEMS = 64;
const FREE_KEYS = 16;
/** Characters of a string or key that nothing bounds. */
const FREE_CHARACTERS = 2_000;
const FREE_KEY_CHARACTERS = 40;

type Schema = Record<string, unknown>;
type TypeName = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

const ANNOTATIONS = new Set(
  '$schema $id $comment $defs definitions title description default examples deprecated readOnly writeOnly'.split(' '),
);
/** Keywords that belong to one type; those of one group read each other, so they are only ever taken from one schema. */
const GROUPS: { type: TypeName; keywords: string[] }[] = [
  { type: 'object', keywords: ['properties', 'additionalProperties'] },
  { type: 'object', keywords: ['required'] },
  { type: 'array', keywords: ['items'] },
  { type: 'array', keywords: ['minItems'] },
  { type: 'array', keywords: ['maxItems'] },
  { type: 'string', keywords: ['minLength'] },
  { type: 'string', keywords: ['maxLength'] },
  { type: 'string', keywords: ['pattern', 'format'] },
  { type: 'number', keywords: ['minimum'] },
  { type: 'number', keywords: ['maximum'] },
  { type: 'number', keywords: ['exclusiveMinimum'] },
  { type: 'number', keywords: ['exclusiveMaximum'] },
];
const TYPES: TypeName[] = ['object', 'array', 'string', 'number', 'boolean', 'null'];
const KEYWORDS = new Set([
  ...GROUPS.flatMap(({ keywords }) => keywords),
  'type',
  'enum',
  'const',
  'anyOf',
  'allOf',
  '$ref',
]);

/** Throws CONSTRAINT_UNSUPPORTED naming keyword and place, or CONSTRAINT_IMPOSSIBLE. Undefined: any JSON object. */
export function compileSchema(grammar: Grammar, schema: Schema | undefined): Expression {
  const root = schema ?? { type: 'object' };
  if (JSON.stringify(root).length > MOST_SCHEMA_CHARACTERS)
    refuse('', `is longer than ${MOST_SCHEMA_CHARACTERS} characters`);
  let language: Expression | undefined;
  try {
    language = new Compiler(grammar, root).compile(root, '', new Set());
  } finally {
    grammar.settle();
  }
  if (!language || language.least === Infinity)
    throw new ModelError(
      'CONSTRAINT_IMPOSSIBLE',
      'the constraint cannot be kept: no JSON text is valid under its schema',
    );
  return language;
}

function refuse(where: string, what: string): never {
  throw new ModelError('CONSTRAINT_UNSUPPORTED', `the schema${where && ` at ${where}`}: ${what}`);
}

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const pointer = (where: string, key: string | number) =>
  `${where}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;

class Compiler {
  readonly #grammar: Grammar;
  readonly #root: Schema;
  /** What a `$ref` leads to, by its pointer and the keywords beside it. */
  readonly #references = new Map<string, Reference>();
  readonly #free: (Expression | undefined)[] = [];

  constructor(grammar: Grammar, root: Schema) {
    this.#grammar = grammar;
    this.#root = root;
  }

  /** `open`: references being followed without anything written in between. */
  compile(schema: unknown, where: string, open: ReadonlySet<string>): Expression | undefined {
    if (schema === true) return this.#anything(FREE_DEPTH);
    if (schema === false) return undefined;
    if (!isSchema(schema)) refuse(where, 'is not a schema');
    for (const keyword of Object.keys(schema))
      if (!KEYWORDS.has(keyword) && !ANNOTATIONS.has(keyword))
        refuse(where, `the keyword "${keyword}" cannot be enforced`);
    const { $ref, allOf, anyOf, ...rest } = schema;
    if ($ref !== undefined) return this.#reference($ref, { ...rest, ...given({ allOf, anyOf }) }, where, open);
    if (allOf !== undefined) {
      const parts = list(allOf, pointer(where, 'allOf'));
      const merged = parts.reduce<Schema>((all, part, i) => conjoin(all, part, pointer(where, `allOf/${i}`)), {
        ...rest,
        ...given({ anyOf }),
      });
      return this.compile(merged, where, open);
    }
    if (anyOf !== undefined) {
      const branches = list(anyOf, pointer(where, 'anyOf')).map((branch, i) => {
        const place = `${where}/anyOf/${i}`;
        return this.compile(conjoin(rest, branch, place), place, open);
      });
      return this.#grammar.choice(...branches);
    }
    if (schema.const !== undefined || schema.enum !== undefined) return this.#values(schema, where);
    return this.#grammar.choice(...typesOf(schema, where).map((type) => this.#ofType(type, schema, where)));
  }

  #ofType(type: TypeName, schema: Schema, where: string): Expression | undefined {
    switch (type) {
      case 'object':
        return this.#object(schema, where);
      case 'array':
        return this.#array(schema, where);
      case 'string':
        return this.#string(schema, where);
      case 'number':
      case 'integer':
        return number(this.#grammar, boundsOf(schema, where), type === 'integer');
      case 'boolean':
        return this.#grammar.choice(this.#grammar.word('true'), this.#grammar.word('false'));
      case 'null':
        return this.#grammar.word('null');
    }
  }

  #reference(ref: unknown, beside: Schema, where: string, open: ReadonlySet<string>): Expression {
    if (typeof ref !== 'string' || !/^#(\/|$)/.test(ref)) refuse(where, `$ref ${JSON.stringify(ref)} leads outside`);
    const asserting = Object.fromEntries(Object.entries(beside).filter(([keyword]) => !ANNOTATIONS.has(keyword)));
    const key = `${ref} ${JSON.stringify(asserting)}`;
    if (open.has(key)) refuse(where, `$ref ${ref} leads back to itself`);
    const known = this.#references.get(key);
    if (known) return known;
    const reference = this.#grammar.reference();
    this.#references.set(key, reference);
    const target = this.#resolve(ref, where);
    const merged = Object.keys(asserting).length === 0 ? target : conjoin(asserting, target, where);
    reference.target = this.compile(merged, ref.slice(1), new Set([...open, key]));
    return reference;
  }

  #resolve(ref: string, where: string): unknown {
    let target: unknown = this.#root;
    for (const part of ref.split('/').slice(1)) {
      let key: string;
      try {
        key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      } catch {
        refuse(where, `$ref ${ref} is malformed`);
      }
      if (typeof target !== 'object' || target === null || !Object.hasOwn(target, key))
        refuse(where, `$ref ${ref} leads nowhere`);
      target = (target as Schema)[key];
    }
    return target;
  }

  /** Literals that the other keywords beside them allow. */
  #values({ const: only, enum: several, ...rest }: Schema, where: string): Expression | undefined {
    let values = several === undefined ? [only] : list(several, pointer(where, 'enum'));
    if (several !== undefined && only !== undefined)
      values = values.filter((value) => JSON.stringify(value) === JSON.stringify(only));
    const texts = values.map((value) => JSON.stringify(value));
    const { type, ...others } = rest;
    const asserting = Object.keys(others).filter((keyword) => !ANNOTATIONS.has(keyword));
    const types = type === undefined ? undefined : typesOf({ type }, where);
    let kept = texts.filter((_, i) => types?.some((name) => isOfType(values[i], name)) ?? true);
    if (asserting.length > 0) {
      // Its own grammar: this one is not settled yet.
      const grammar = new Grammar();
      const language = new Compiler(grammar, { ...this.#root }).compile(rest, where, new Set());
      grammar.settle();
      kept = kept.filter((text) => grammar.accepts(language, text));
    }
    return this.#grammar.choice(...kept.map((text) => this.#grammar.word(text)));
  }

  #string(schema: Schema, where: string): Expression | undefined {
    const { pattern, format } = schema;
    const from = count(schema, 'minLength', where) ?? 0;
    const to = count(schema, 'maxLength', where) ?? Math.max(from, FREE_CHARACTERS);
    if (pattern === undefined && format === undefined)
      return quoted(this.#grammar, this.#grammar.repeat(stringCharacter(this.#grammar), from, to));
    if (pattern !== undefined && format !== undefined) refuse(where, 'pattern and format together cannot be enforced');
    try {
      const found =
        pattern === undefined
          ? matchedByFormat(this.#grammar, String(format))
          : matched(this.#grammar, String(pattern));
      if (found.shortest < from || (found.longest > to && schema.maxLength !== undefined))
        throw new Unsupported('minLength and maxLength beside a pattern that does not keep them cannot be enforced');
      return quoted(this.#grammar, found.expression);
    } catch (error) {
      if (error instanceof Unsupported) refuse(where, error.message);
      throw error;
    }
  }

  #array(schema: Schema, where: string): Expression | undefined {
    const from = count(schema, 'minItems', where) ?? 0;
    const to = count(schema, 'maxItems', where) ?? Math.max(from, FREE_ITEMS);
    if (to < from) return undefined;
    const item =
      schema.items === undefined
        ? this.#anything(FREE_DEPTH - 1)
        : this.compile(schema.items, pointer(where, 'items'), new Set());
    return this.#bracketed('[', this.#listed(item, from, to), ']');
  }

  /** From so many to so many of them, with commas between. */
  #listed(item: Expression | undefined, from: number, to: number): Expression | undefined {
    const grammar = this.#grammar;
    const more = grammar.repeat(grammar.sequence(this.#mark(','), item), Math.max(0, from - 1), to - 1);
    const some = to > 0 ? grammar.sequence(item, more) : undefined;
    return from === 0 ? grammar.choice(grammar.nothing, some) : some;
  }

  #object(schema: Schema, where: string): Expression | undefined {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isSchema(properties)) refuse(where, 'properties is not an object');
    if (!Array.isArray(required) || required.some((name) => typeof name !== 'string'))
      refuse(where, 'required is not a list of names');
    const needed = new Set<string>(required);
    const names = [...new Set([...Object.keys(properties), ...needed])];
    // Keys nobody described are only written where the schema invites them or names none at all.
    const closed = additionalProperties === false || (additionalProperties === undefined && names.length > 0);
    const otherWhere = pointer(where, 'additionalProperties');
    const other = () =>
      additionalProperties === undefined
        ? this.#anything(FREE_DEPTH - 1)
        : this.compile(additionalProperties, otherWhere, new Set());
    const grammar = this.#grammar;
    const entry = (key: Expression | undefined, value: Expression | undefined) =>
      grammar.sequence(key, this.#mark(':'), value);
    const listedEntries = names.map((name) => {
      const own = Object.hasOwn(properties, name);
      const value = own ? this.compile(properties[name], pointer(`${where}/properties`, name), new Set()) : other();
      return entry(grammar.word(JSON.stringify(name)), value);
    });
    const spelt = names.map((name) => JSON.stringify(name).slice(1, -1));
    const freeKey = grammar.except(grammar.repeat(stringCharacter(grammar), 0, FREE_KEY_CHARACTERS), spelt);
    const free = closed ? undefined : entry(quoted(grammar, freeKey), other());
    const comma = this.#mark(',');
    // What may follow after property i was written or passed over, from the last to the first.
    let [first, later] = [
      this.#listed(free, 0, FREE_KEYS),
      grammar.repeat(grammar.sequence(comma, free), 0, FREE_KEYS),
    ];
    for (let i = names.length - 1; i >= 0; i--) {
      const written = grammar.sequence(listedEntries[i], later);
      const isNeeded = needed.has(names[i]!);
      first = grammar.choice(written, isNeeded ? undefined : first);
      later = grammar.choice(grammar.sequence(comma, written), isNeeded ? undefined : later);
    }
    return this.#bracketed('{', first, '}');
  }

  /** Any JSON value that nests at most `depth` deep. */
  #anything(depth: number): Expression | undefined {
    if (this.#free[depth]) return this.#free[depth];
    const grammar = this.#grammar;
    const text = quoted(grammar, grammar.repeat(stringCharacter(grammar), 0, FREE_CHARACTERS));
    const plain = [text, number(grammar, {}, false), ...['true', 'false', 'null'].map((word) => grammar.word(word))];
    const inner = depth > 0 ? this.#anything(depth - 1) : undefined;
    const key = quoted(grammar, grammar.repeat(stringCharacter(grammar), 0, FREE_KEY_CHARACTERS));
    const entry = grammar.sequence(key, this.#mark(':'), inner);
    const array = this.#bracketed('[', this.#listed(inner, 0, FREE_ITEMS), ']');
    const object = this.#bracketed('{', this.#listed(entry, 0, FREE_KEYS), '}');
    this.#free[depth] = grammar.choice(...plain, array, object);
    return this.#free[depth];
  }

  #bracketed(open: string, inner: Expression | undefined, close: string): Expression | undefined {
    return this.#grammar.sequence(this.#grammar.word(open), inner, this.#grammar.word(close));
  }

  /** A comma or colon, and the one space models like to write after it. */
  #mark(mark: string): Expression | undefined {
    const space = this.#grammar.choice(this.#grammar.nothing, this.#grammar.word(' '));
    return this.#grammar.sequence(this.#grammar.word(mark), space);
  }
}

const given = (schema: Schema) => Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined));

function list(value: unknown, where: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) refuse(where, 'is not a list with entries');
  return value;
}

/** Types a schema speaks of: those it names, else those its keywords belong to, else all. */
function typesOf(schema: Schema, where: string): TypeName[] {
  if (schema.type === undefined) {
    const hinted = GROUPS.filter(({ keywords }) => keywords.some((keyword) => schema[keyword] !== undefined));
    return hinted.length > 0 ? [...new Set(hinted.map(({ type }) => type))] : TYPES;
  }
  const names = Array.isArray(schema.type) ? schema.type : [schema.type];
  for (const name of names)
    if (name !== 'integer' && !TYPES.includes(name)) refuse(where, `type ${JSON.stringify(name)} is unknown`);
  return names;
}

function isOfType(value: unknown, type: TypeName): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isSchema(value);
  return String(typeof value) === type;
}

function count(schema: Schema, keyword: string, where: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (!Number.isInteger(value) || (value as number) < 0) refuse(where, `${keyword} is not a count`);
  return value as number;
}

function boundsOf(schema: Schema, where: string): Bounds {
  const bound = (keyword: string, side: 1 | -1) => {
    const value = schema[keyword];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isFinite(value)) refuse(where, `${keyword} is not a number`);
    // Numbers are written with 15 digits before the point at most, so this holds by itself.
    if (side * value > 1e15) return undefined;
    if (!isPlain(value)) refuse(where, `${keyword} ${value} has too many digits to be enforced`);
    return value;
  };
  return {
    from: bound('minimum', -1),
    above: bound('exclusiveMinimum', -1),
    to: bound('maximum', 1),
    below: bound('exclusiveMaximum', 1),
  };
}

/** One schema that means both, where that needs no more than putting their keywords side by side. */
function conjoin(a: Schema, b: unknown, where: string): Schema {
  if (b === true) return a;
  if (b === false) return { ...a, enum: undefined, type: [] };
  if (!isSchema(b)) refuse(where, 'is not a schema');
  const merged: Schema = { ...a, ...b };
  const asserts = (schema: Schema, keyword: string) => schema[keyword] !== undefined;
  for (const { keywords } of GROUPS)
    if (keywords.some((keyword) => asserts(a, keyword)) && keywords.some((keyword) => asserts(b, keyword)))
      refuse(where, `${keywords.join('/')} said twice for one value cannot be enforced`);
  for (const keyword of ['enum', 'const', 'anyOf', 'allOf', '$ref'])
    if (asserts(a, keyword) && asserts(b, keyword))
      refuse(where, `${keyword} said twice for one value cannot be enforced`);
  if (asserts(a, 'type') && asserts(b, 'type')) {
    const [one, other] = [typesOf(a, where), typesOf(b, where)];
    const common = one.filter((name) => other.includes(name) || (name === 'integer' && other.includes('number')));
    const narrowed = other.filter((name) => name === 'integer' && one.includes('number'));
    merged.type = [...new Set([...common, ...narrowed])];
  }
  return merged;
}
