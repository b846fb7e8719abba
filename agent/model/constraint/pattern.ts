/**
 * `pattern` and `format` as expressions: the regular part of ECMAScript's regular expressions (no look-around, no
 * back-references, no word boundaries), with the meaning they have under the `u` flag. Pure.
 */
import type { Expression, Grammar } from './grammar.ts';
import { type CodePoints, stringCharacter } from './text.ts';

/** What some keyword asks for and we cannot keep; caught by whoever knows where in the schema it stands. */
export class Unsupported extends Error {}

/** The strings of a pattern, as content of a JSON string, and how many characters they have. */
export interface Matched {
  expression: Expression | undefined;
  shortest: number;
  longest: number;
}

const LAST = 0x10ffff;
const CLASSES: Record<string, CodePoints[]> = {
  d: [[0x30, 0x39]],
  w: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
  ],
  s: [
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ],
};
const LINE_ENDS: CodePoints[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const CONTROLS: Record<string, number> = { n: 0x0a, r: 0x0d, t: 0x09, f: 0x0c, v: 0x0b, 0: 0 };
/** Repetitions a pattern may count: more is a mistake or an attack. */
const MOST_REPEATS = 1_000;

/** The formats that are regular, by the strictest common reading, so that every checker agrees. */
const DATE =
  '\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))';
const TIME = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:0\\d|1[0-4]):[0-5]\\d)';
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?';
const FORMATS: Record<string, string> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  ipv4: `(?:${OCTET}\\.){3}${OCTET}`,
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
  hostname: `${LABEL}(?:\\.${LABEL}){0,3}`,
  email: `[a-z0-9_+-]{1,30}(?:\\.[a-z0-9_+-]{1,20}){0,2}@${LABEL}(?:\\.${LABEL}){1,3}`,
};

export function matchedByFormat(grammar: Grammar, format: string): Matched {
  const pattern = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (pattern === undefined) throw new Unsupported(`format "${format}" cannot be enforced`);
  return matched(grammar, `^${pattern}$`);
}

export function matched(grammar: Grammar, pattern: string): Matched {
  try {
    new RegExp(pattern, 'u');
  } catch {
    throw new Unsupported(`pattern ${JSON.stringify(pattern)} is not a regular expression`);
  }
  return new Parser(grammar, pattern).whole();
}

class Parser {
  readonly #grammar: Grammar;
  readonly #text: string[];
  #at = 0;
  readonly #anything: Matched;

  constructor(grammar: Grammar, pattern: string) {
    this.#grammar = grammar;
    this.#text = [...pattern];
    this.#anything = {
      expression: grammar.repeat(stringCharacter(grammar), 0, Infinity),
      shortest: 0,
      longest: Infinity,
    };
  }

  /** Only here anchors are understood: at the ends of the outermost alternatives. A pattern without them may match inside. */
  whole(): Matched {
    const branches: Matched[] = [];
    do {
      const start = this.#take('^');
      const middle = this.#sequence();
      const end = this.#take('$');
      if (this.#at < this.#text.length && this.#text[this.#at] !== '|') this.#refuse();
      branches.push(this.#join([...(start ? [] : [this.#anything]), middle, ...(end ? [] : [this.#anything])]));
    } while (this.#take('|'));
    return this.#either(branches);
  }

  #alternatives(): Matched {
    const branches: Matched[] = [];
    do branches.push(this.#sequence());
    while (this.#take('|'));
    return this.#either(branches);
  }

  #sequence(): Matched {
    const parts: Matched[] = [];
    for (;;) {
      const next = this.#text[this.#at];
      if (next === undefined || next === '|' || next === ')' || next === '$') return this.#join(parts);
      parts.push(this.#quantified(this.#atom()));
    }
  }

  #quantified(atom: Matched): Matched {
    const counts = this.#counts();
    if (!counts) return atom;
    // Lazy or greedy, the same strings match.
    this.#take('?');
    const [from, to] = counts;
    if (from > MOST_REPEATS || (to !== Infinity && to > MOST_REPEATS))
      throw new Unsupported(`a pattern that counts beyond ${MOST_REPEATS}`);
    return {
      expression: this.#grammar.repeat(atom.expression, from, to),
      shortest: from * atom.shortest,
      longest: to === 0 ? 0 : atom.longest * to || 0,
    };
  }

  #counts(): [number, number] | undefined {
    if (this.#take('*')) return [0, Infinity];
    if (this.#take('+')) return [1, Infinity];
    if (this.#take('?')) return [0, 1];
    if (!this.#take('{')) return undefined;
    const end = this.#text.indexOf('}', this.#at);
    const [from = '', to] = this.#text.slice(this.#at, end).join('').split(',');
    this.#at = end + 1;
    return [Number(from), to === undefined ? Number(from) : to === '' ? Infinity : Number(to)];
  }

  #atom(): Matched {
    const first = this.#text[this.#at++]!;
    if (first === '(') {
      if (this.#take('?') && !this.#take(':')) this.#refuse();
      const inner = this.#alternatives();
      if (!this.#take(')')) this.#refuse();
      return inner;
    }
    if (first === '[') return this.#one(this.#set());
    if (first === '.') return this.#one(outside(LINE_ENDS));
    if (first === '\\') return this.#one(this.#escape(false));
    if (first === '^') this.#refuse();
    const code = first.codePointAt(0)!;
    return this.#one([[code, code]]);
  }

  /** After the opening bracket. */
  #set(): CodePoints[] {
    const inverted = this.#take('^');
    const ranges: CodePoints[] = [];
    while (!this.#take(']')) {
      const low = this.#member();
      const single = low.length === 1 && low[0]![0] === low[0]![1];
      if (single && this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']') {
        this.#at++;
        ranges.push([low[0]![0], this.#member()[0]![1]]);
      } else ranges.push(...low);
    }
    return inverted ? outside(ranges) : ranges;
  }

  #member(): CodePoints[] {
    const first = this.#text[this.#at++]!;
    if (first === '\\') return this.#escape(true);
    const code = first.codePointAt(0)!;
    return [[code, code]];
  }

  /** After the backslash. */
  #escape(inSet: boolean): CodePoints[] {
    const letter = this.#text[this.#at++]!;
    const known = CLASSES[letter.toLowerCase()];
    if (known) return letter === letter.toLowerCase() ? known : outside(known);
    const code = this.#codeOf(letter, inSet);
    return [[code, code]];
  }

  #codeOf(letter: string, inSet: boolean): number {
    if (Object.hasOwn(CONTROLS, letter)) return CONTROLS[letter]!;
    if (letter === 'b' && inSet) return 0x08;
    if (letter === 'u' && this.#take('{')) {
      const end = this.#text.indexOf('}', this.#at);
      const digits = this.#text.slice(this.#at, end).join('');
      this.#at = end + 1;
      return Number.parseInt(digits, 16);
    }
    if (letter === 'u' || letter === 'x') {
      const length = letter === 'u' ? 4 : 2;
      this.#at += length;
      return Number.parseInt(this.#text.slice(this.#at - length, this.#at).join(''), 16);
    }
    // Under the `u` flag only these may be escaped to mean themselves.
    if (/[\^$\\.*+?()[\]{}|/-]/.test(letter)) return letter.codePointAt(0)!;
    return this.#refuse();
  }

  #one(ranges: CodePoints[]): Matched {
    return { expression: stringCharacter(this.#grammar, ranges), shortest: 1, longest: 1 };
  }

  #join(parts: Matched[]): Matched {
    return {
      expression: this.#grammar.sequence(...parts.map(({ expression }) => expression)),
      shortest: parts.reduce((sum, { shortest }) => sum + shortest, 0),
      longest: parts.reduce((sum, { longest }) => sum + longest, 0),
    };
  }

  #either(branches: Matched[]): Matched {
    return {
      expression: this.#grammar.choice(...branches.map(({ expression }) => expression)),
      shortest: Math.min(...branches.map(({ shortest }) => shortest)),
      longest: Math.max(...branches.map(({ longest }) => longest)),
    };
  }

  #take(letter: string): boolean {
    if (this.#text[this.#at] !== letter) return false;
    this.#at++;
    return true;
  }

  #refuse(): never {
    const place = this.#text.slice(Math.max(0, this.#at - 2), this.#at + 2).join('');
    throw new Unsupported(`a pattern with ${JSON.stringify(place)}`);
  }
}

function outside(ranges: CodePoints[]): CodePoints[] {
  const out: CodePoints[] = [];
  let from = 0;
  for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (low > from) out.push([from, low - 1]);
    from = Math.max(from, high + 1);
  }
  if (from <= LAST) out.push([from, LAST]);
  return out;
}
