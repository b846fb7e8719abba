/**
 * A reply that is one JSON text: the state it is in, the tokens that may come next, and which of them still leave room to
 * finish. A reply that could end in time at its first token always does.
 */
import { ModelError } from '../types.ts';
import { type Expression, Grammar } from './grammar.ts';
import { compileSchema } from './schema.ts';
import { Vocabulary } from './vocabulary.ts';

/** Compiled schemas kept: an application asks for a handful again and again. */
const KEPT_SCHEMAS = 32;
/** Expressions, about 300 bytes each, before a fresh grammar is begun; running replies keep theirs. */
const MOST_EXPRESSIONS = 200_000;

export class JsonTexts {
  readonly #vocabulary: Vocabulary;
  #grammar = new Grammar();
  /** By the schema's JSON, least recently used first. */
  readonly #compiled = new Map<string, Expression>();

  constructor(bytes: ReadonlyMap<number, Uint8Array>) {
    this.#vocabulary = new Vocabulary(bytes);
  }

  /** Throws CONSTRAINT_UNSUPPORTED or CONSTRAINT_IMPOSSIBLE. */
  begin(schema: Record<string, unknown> | undefined): JsonReply {
    if (this.#grammar.size > MOST_EXPRESSIONS) {
      this.#grammar = new Grammar();
      this.#compiled.clear();
    }
    const key = JSON.stringify(schema) ?? '';
    const language = this.#compiled.get(key) ?? compileSchema(this.#grammar, schema);
    this.#compiled.delete(key);
    this.#compiled.set(key, language);
    if (this.#compiled.size > KEPT_SCHEMAS) this.#compiled.delete(this.#compiled.keys().next().value!);
    return new JsonReply(this.#vocabulary, this.#grammar, language);
  }
}

export class JsonReply {
  readonly #vocabulary: Vocabulary;
  readonly #grammar: Grammar;
  #state: Expression;

  constructor(vocabulary: Vocabulary, grammar: Grammar, language: Expression) {
    this.#vocabulary = vocabulary;
    this.#grammar = grammar;
    this.#state = language;
  }

  /** Whether the text may end here. */
  get complete(): boolean {
    return this.#state.nullable;
  }

  /** Whether it must. */
  get ended(): boolean {
    return this.#state === this.#grammar.nothing;
  }

  /** `left`: tokens the reply may still have, the next one included. Empty only when the text must end here. */
  allowed(left: number): ArrayLike<number> {
    const { tokens, costs, dearest } = this.#vocabulary.allowed(this.#grammar, this.#state);
    if (dearest < left) return tokens;
    const inTime = tokens.filter((_, i) => costs[i]! < left);
    // Too late already: it will end by its length, and may as well go on.
    return inTime.length > 0 || this.complete ? inTime : tokens;
  }

  push(token: number): void {
    const next = this.#vocabulary.push(this.#grammar, this.#state, token);
    if (!next) throw new ModelError('CONSTRAINT_IMPOSSIBLE', `token ${token} does not fit the JSON text`);
    this.#state = next;
  }
}
