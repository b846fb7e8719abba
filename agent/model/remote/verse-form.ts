/**
 * A slots constraint for servers that are not ours: as a regular expression (vLLM), as a grammar (llama.cpp), in words
 * (everybody else), and as a check of what came back. Neither notation can say "the same character as there" or "another
 * one than there", so the check has the last word; it is the very automaton that our own engine decodes with. Pure.
 */
import { type Alphabet, allowedTokens, planSlots, type SlotPlan } from '../constraint/index.ts';
import type { SlotsConstraint } from '../types.ts';

/** CJK Unified Ideographs: every character of the rhyme tables lies here. */
const HAN = { first: 0x4e00, last: 0x9fff } as const;
const HAN_CODES: readonly number[] = Array.from({ length: HAN.last - HAN.first + 1 }, (_, i) => HAN.first + i);

export interface VerseForm {
  regex: string;
  /** GBNF, llama.cpp's notation. */
  grammar: string;
  /** `□□□□□，□□□□□。`: fixed marks as they are, a box for each free character. */
  shape: string;
  /** The verse in a reply, however the model wrapped it, or undefined when no part of the reply keeps the form. */
  find(reply: string): string | undefined;
  /** Whether every character is one its place allows, whatever it repeats. */
  fitsPlaces(text: string): boolean;
}

/** Code points stand for tokens: to a server of unknown vocabulary only characters can be named. Throws CONSTRAINT_IMPOSSIBLE. */
export function verseForm(constraint: SlotsConstraint): VerseForm {
  const named = constraint.slots.flatMap(({ allow, deny }) => [...(allow ?? ''), ...(deny ?? '')]);
  const characters = new Map(named.map((char) => [char, char.codePointAt(0)!]));
  const plan = planSlots(constraint, { characters, han: HAN_CODES } satisfies Alphabet);
  const repeated = new Set(constraint.slots.flatMap(({ same }, slot) => (same === undefined ? [] : [slot, same])));
  // A poem names the same thousands of characters two dozen times: each such place is worked out once.
  const known = new Map<string, Place>();
  const places = constraint.slots.map(({ allow, deny }, slot) => {
    const key = repeated.has(slot) ? `class ${plan.classOf[slot]}` : `${allow ?? '*'}\0${deny ?? ''}`;
    const place = known.get(key) ?? placeOf(plan.domains[plan.classOf[slot]!]!);
    known.set(key, place);
    return place;
  });
  const classes = places.map(({ notation }) => notation);
  const shape = places.map(({ only }) => only ?? '□').join('');
  return {
    regex: classes.join(''),
    grammar: grammarOf(classes),
    shape,
    find: (reply) => find(reply, shape, plan),
    fitsPlaces: (text) => {
      const codes = codesOf(text);
      return codes.length === places.length && places.every(({ codes: allowed }, i) => allowed.has(codes[i]!));
    },
  };
}

interface Place {
  codes: ReadonlySet<number>;
  /** As a character class. */
  notation: string;
  /** The character, where there is no choice. */
  only: string | undefined;
}

function placeOf({ all, gone }: SlotPlan['domains'][number]): Place {
  const sorted = Uint32Array.from(all)
    .filter((code) => !gone.has(code))
    .sort();
  return {
    codes: new Set(sorted),
    notation: characterClass(sorted),
    only: sorted.length === 1 ? String.fromCodePoint(sorted[0]!) : undefined,
  };
}

function codesOf(text: string): number[] {
  return Array.from(text, (char) => char.codePointAt(0)!);
}

/** `[一-丁七]`; neighbouring code points as ranges, because a place of the level tone allows thousands of characters. */
function characterClass(codes: Uint32Array): string {
  let inside = '';
  for (let i = 0; i < codes.length; ) {
    let end = i;
    while (codes[end + 1] === codes[end]! + 1) end++;
    inside += escaped(codes[i]!);
    if (end > i) inside += `${end > i + 1 ? '-' : ''}${escaped(codes[end]!)}`;
    i = end + 1;
  }
  return `[${inside}]`;
}

/** The escapes that regular expressions and GBNF share. */
function escaped(code: number): string {
  const char = String.fromCodePoint(code);
  if (char === '\n') return '\\n';
  return /[\\\]^[-]/.test(char) ? `\\${char}` : char;
}

/** One rule for each distinct class: a poem names the level tones a dozen times. */
function grammarOf(classes: readonly string[]): string {
  const distinct = [...new Set(classes)];
  const root = classes.map((text) => `c${distinct.indexOf(text)}`).join(' ');
  return [`root ::= ${root}`, ...distinct.map((text, i) => `c${i} ::= ${text}`)].join('\n');
}

/**
 * Models without a constraint say `下联：…` or break lines where they like: every stretch of the right length is tried,
 * white space left out of account. All its characters are still the model's own.
 */
function find(reply: string, shape: string, plan: SlotPlan): string | undefined {
  const wanted = [...shape];
  const solid = wanted.flatMap((char, place) => (/\s/.test(char) ? [] : [place]));
  const said = [...reply].filter((char) => !/\s/.test(char));
  for (let start = 0; start + solid.length <= said.length; start++) {
    const verse = [...wanted];
    solid.forEach((place, i) => {
      verse[place] = said[start + i]!;
    });
    const text = verse.join('');
    if (keeps(text, plan)) return text;
  }
  return undefined;
}

function keeps(text: string, plan: SlotPlan): boolean {
  const codes = codesOf(text);
  if (codes.length !== plan.classOf.length) return false;
  return (
    codes.every((code, place) => {
      // Cheap first: most stretches fail on the place alone.
      const { all, gone } = plan.domains[plan.classOf[place]!]!;
      return all.has(code) && !gone.has(code);
    }) && codes.every((code, place) => allowedTokens(plan, codes.slice(0, place)).includes(code))
  );
}
