/**
 * Languages of byte strings as expressions, and Brzozowski derivatives: what may still follow once a byte was said. Pure.
 *
 * Equal expressions are one object, so derivatives, and whatever else is known of a state, are remembered on the object.
 * References make the languages context-free; whoever defines one sees to it that it is never reached again before a byte.
 */

interface Common {
  readonly id: number;
  /** Whether the empty string belongs to it. */
  readonly nullable: boolean;
  /** Bytes of its shortest string; Infinity when it has none. */
  least: number;
  /** Derivatives by byte, as far as they were asked for. */
  readonly next: Map<number, Expression | undefined>;
}
/** Only the empty string. */
type Nothing = Common & { readonly kind: 'nothing' };
type Bytes = Common & { readonly kind: 'bytes'; readonly has: Uint8Array };
/** One string. */
type Word = Common & { readonly kind: 'word'; readonly text: string };
type Sequence = Common & { readonly kind: 'sequence'; readonly head: Expression; readonly tail: Expression };
type Choice = Common & { readonly kind: 'choice'; readonly items: readonly Expression[] };
export type Repeat = Common & {
  readonly kind: 'repeat';
  readonly body: Expression;
  readonly from: number;
  readonly to: number;
};
/** The body's strings but these. */
type Except = Common & { readonly kind: 'except'; readonly body: Expression; readonly words: readonly string[] };
/** Never nullable. */
export type Reference = Common & { readonly kind: 'reference'; target: Expression | undefined };
export type Expression = Nothing | Bytes | Word | Sequence | Choice | Repeat | Except | Reference;

/** Each Latin-1 character stands for one byte: strings of them are cheap to cut, compare and use as keys. */
export const bytesOf = (text: string) => Buffer.from(text).toString('latin1');

type Body<E> = E extends Common ? Omit<E, 'id' | 'next' | 'nullable' | 'least'> : never;

export class Grammar {
  readonly nothing: Expression;
  readonly #known = new Map<string, Expression>();
  /** Built since the first open reference, children first: their `least` may depend on it. */
  #unsettled: Expression[] = [];
  #count = 0;

  constructor() {
    this.nothing = this.#intern('', { kind: 'nothing' });
  }

  /** Expressions made so far, a measure of the memory they take. */
  get size(): number {
    return this.#count;
  }

  /** One byte out of these ranges. */
  bytes(...ranges: [number, number][]): Expression | undefined {
    const has = new Uint8Array(256);
    for (const [from, to] of ranges) has.fill(1, from, to + 1);
    return has.includes(1) ? this.#intern(`b${has.join('')}`, { kind: 'bytes', has }) : undefined;
  }

  /** Exactly this text. */
  word(text: string): Expression {
    return this.#word(bytesOf(text));
  }

  /** Undefined, here and everywhere, is the language without any string. */
  sequence(...parts: (Expression | undefined)[]): Expression | undefined {
    let all: Expression = this.nothing;
    for (const part of parts.toReversed()) {
      if (!part) return undefined;
      all = this.#pair(part, all);
    }
    return all;
  }

  choice(...items: (Expression | undefined)[]): Expression | undefined {
    const flat = new Set<Expression>();
    for (const item of items) {
      if (item?.kind === 'choice') for (const inner of item.items) flat.add(inner);
      else if (item) flat.add(item);
    }
    if (flat.size <= 1) return [...flat][0];
    const list = [...flat].sort((a, b) => a.id - b.id);
    return this.#intern(`|${list.map(({ id }) => id).join()}`, { kind: 'choice', items: list });
  }

  repeat(body: Expression | undefined, from: number, to: number): Expression | undefined {
    if (to < from) return undefined;
    if (!body || to === 0) return from === 0 ? this.nothing : undefined;
    const least = body.nullable ? 0 : from;
    return this.#intern(`*${body.id},${least},${to}`, { kind: 'repeat', body, from: least, to });
  }

  /** `words` in the body's own spelling; the body holds no reference. */
  except(body: Expression | undefined, words: readonly string[]): Expression | undefined {
    return body && this.#except(body, words.map(bytesOf));
  }

  reference(): Reference {
    const common = { id: this.#count++, nullable: false, least: Infinity, next: new Map() };
    const made: Reference = { ...common, kind: 'reference', target: undefined };
    this.#unsettled.push(made);
    return made;
  }

  /** Call when every reference has its target: finds the shortest strings, by going round until nothing gets shorter. */
  settle(): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const expression of this.#unsettled) {
        const least = leastOf(expression);
        if (least < expression.least) {
          expression.least = least;
          changed = true;
        }
      }
    }
    this.#unsettled = [];
  }

  /** What may follow `byte`; undefined when nothing can. Only after `settle`. */
  derive(expression: Expression, byte: number): Expression | undefined {
    const known = expression.next.get(byte);
    if (known !== undefined || expression.next.has(byte)) return known;
    const derived = this.#derive(expression, byte);
    const living = derived && derived.least < Infinity ? derived : undefined;
    expression.next.set(byte, living);
    return living;
  }

  accepts(expression: Expression | undefined, text: string): boolean {
    let left = expression;
    for (const byte of Buffer.from(text)) left = left && this.derive(left, byte);
    return left?.nullable ?? false;
  }

  /**
   * The same for all that starts with at most `bytes` bytes, but without counting how far the first repetition is from
   * its end: states that differ only there become one.
   */
  shorten(expression: Expression, bytes: number): Expression {
    if (expression.kind === 'choice') return this.choice(...expression.items.map((item) => this.shorten(item, bytes)))!;
    if (expression.kind === 'sequence') return this.#pair(this.shorten(expression.head, bytes), expression.tail);
    if (expression.kind !== 'repeat') return expression;
    const { body, from, to } = expression;
    return this.repeat(body, from, Math.min(to, from + bytes))!;
  }

  #derive(expression: Expression, byte: number): Expression | undefined {
    switch (expression.kind) {
      case 'nothing':
        return undefined;
      case 'bytes':
        return expression.has[byte] ? this.nothing : undefined;
      case 'word': {
        const { text } = expression;
        return text.charCodeAt(0) === byte ? this.#word(text.slice(1)) : undefined;
      }
      case 'sequence': {
        const { head, tail } = expression;
        const within = this.derive(head, byte);
        const inside = within && this.#pair(within, tail);
        return head.nullable ? this.choice(inside, this.derive(tail, byte)) : inside;
      }
      case 'choice':
        return this.choice(...expression.items.map((item) => this.derive(item, byte)));
      case 'repeat': {
        const { body, from, to } = expression;
        const within = this.derive(body, byte);
        return within && this.sequence(within, this.repeat(body, Math.max(0, from - 1), to - 1));
      }
      case 'except': {
        const body = this.derive(expression.body, byte);
        const begun = expression.words.filter((word) => word.charCodeAt(0) === byte).map((word) => word.slice(1));
        return body && this.#except(body, begun);
      }
      case 'reference':
        return expression.target && this.derive(expression.target, byte);
    }
  }

  #pair(head: Expression, tail: Expression): Expression {
    if (head === this.nothing) return tail;
    if (tail === this.nothing) return head;
    if (head.kind === 'sequence') return this.#pair(head.head, this.#pair(head.tail, tail));
    return this.#intern(`+${head.id},${tail.id}`, { kind: 'sequence', head, tail });
  }

  #word(text: string): Expression {
    return text === '' ? this.nothing : this.#intern(`w${text}`, { kind: 'word', text });
  }

  #except(body: Expression, words: readonly string[]): Expression {
    if (words.length === 0) return body;
    const list = [...new Set(words)].sort();
    const made = this.#intern(`-${body.id},${JSON.stringify(list)}`, { kind: 'except', body, words: list });
    // The body alone does not tell: its shortest string may be one of the words. No deeper than the longest word.
    if (made.least === Infinity) {
      for (let byte = 0; byte < 256; byte++)
        made.least = Math.min(made.least, 1 + (this.derive(made, byte)?.least ?? Infinity));
    }
    return made;
  }

  #intern(key: string, body: Body<Expression>): Expression {
    const known = this.#known.get(key);
    if (known) return known;
    const made = {
      ...body,
      id: this.#count++,
      nullable: nullable(body),
      least: Infinity,
      next: new Map(),
    } as Expression;
    made.least = leastOf(made);
    if (this.#unsettled.length > 0) this.#unsettled.push(made);
    this.#known.set(key, made);
    return made;
  }
}

function nullable(body: Body<Expression>): boolean {
  switch (body.kind) {
    case 'nothing':
      return true;
    case 'sequence':
      return body.head.nullable && body.tail.nullable;
    case 'choice':
      return body.items.some((item) => item.nullable);
    case 'repeat':
      return body.from === 0;
    case 'except':
      return body.body.nullable && !body.words.includes('');
    default:
      return false;
  }
}

/** From what is known of the parts; `except` is found when it is made. */
function leastOf(expression: Expression): number {
  switch (expression.kind) {
    case 'nothing':
      return 0;
    case 'bytes':
      return 1;
    case 'word':
      return expression.text.length;
    case 'sequence':
      return expression.head.least + expression.tail.least;
    case 'choice':
      return Math.min(...expression.items.map((item) => item.least));
    case 'repeat':
      return expression.from === 0 ? 0 : expression.from * expression.body.least;
    case 'except':
      return expression.nullable ? 0 : expression.least;
    case 'reference':
      return expression.target?.least ?? Infinity;
  }
}
