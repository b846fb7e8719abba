/**
 * Character constraints while decoding: which tokens may come next so that every slot can still be filled. Pure.
 *
 * Slots that repeat each other form one class with one choice; `differ` links classes. A token is allowed only when all
 * later classes can still be chosen, so a reply never runs into a dead end: an unsatisfiable constraint is refused before
 * the first token.
 */
import { ModelError, type SlotsConstraint } from '../types.ts';

/** What the tokenizer knows of characters. */
export interface Alphabet {
  /** Character → its one token. */
  characters: ReadonlyMap<string, number>;
  /** Tokens of Han characters. */
  han: readonly number[];
}
/** The tokens a class may take: `all` without `gone`, a part of it. Classes share `all`, which may be thousands. */
interface Domain {
  list: readonly number[];
  all: ReadonlySet<number>;
  gone: ReadonlySet<number>;
}
export interface SlotPlan {
  /** Class of each slot. */
  classOf: number[];
  /** Tokens each class may take. */
  domains: Domain[];
  /** Classes that must differ from each class. */
  rivals: Set<number>[];
}

/** Search steps before a constraint counts as impossible; verse needs none, only adversarial tangles come near. */
const SEARCH_STEPS = 20_000;

export function planSlots({ slots }: SlotsConstraint, { characters, han }: Alphabet): SlotPlan {
  if (slots.length === 0) impossible('it has no slots');
  const classOf: number[] = [];
  const domains: Domain[] = [];
  const free = { list: han, all: new Set(han), gone: NOTHING };
  slots.forEach(({ allow, deny, same }, slot) => {
    const allowed = allow === undefined ? free : domainOf(tokensOf(allow, characters));
    const domain = without(allowed, tokensOf(deny ?? '', characters));
    if (same === undefined) {
      classOf.push(domains.push(domain) - 1);
    } else {
      const earlier = classOf[earlierSlot(slot, same)]!;
      classOf.push(earlier);
      const common = members(domains[earlier]!).filter((token) => domain.all.has(token) && !domain.gone.has(token));
      domains[earlier] = domainOf(common);
    }
    if (sizeOf(domains[classOf[slot]!]!) === 0) impossible(`no character fits slot ${slot}`);
  });
  const rivals = domains.map(() => new Set<number>());
  slots.forEach(({ differ }, slot) => {
    for (const other of differ ?? []) {
      const a = classOf[slot]!;
      const b = classOf[earlierSlot(slot, other)]!;
      if (a === b) impossible(`slot ${slot} must both repeat slot ${other} and differ from it`);
      rivals[a]!.add(b);
      rivals[b]!.add(a);
    }
  });
  const plan = { classOf, domains, rivals };
  if (!solvable(new Map(domains.entries()), rivals)) impossible('its slots contradict each other');
  return plan;
}

/** Tokens allowed after `chosen`; empty when every slot is filled. */
export function allowedTokens({ classOf, domains, rivals }: SlotPlan, chosen: readonly number[]): readonly number[] {
  if (chosen.length >= classOf.length) return [];
  const current = classOf[chosen.length]!;
  const taken = new Map(chosen.map((token, slot) => [classOf[slot]!, token]));
  const repeated = taken.get(current);
  if (repeated !== undefined) return [repeated];
  // Nobody's choice depends on this one, and what is left was solvable before.
  if (rivals[current]!.size === 0) return members(domains[current]!);

  const open = new Map<number, Domain>();
  for (const [index, domain] of domains.entries()) {
    if (taken.has(index)) continue;
    const used = [...rivals[index]!].flatMap((rival) => taken.get(rival) ?? []);
    open.set(index, without(domain, used));
  }
  const candidates = members(open.get(current)!);
  open.delete(current);
  const fits = (token: number) => {
    const after = new Map(open);
    for (const rival of rivals[current]!) {
      const domain = after.get(rival);
      if (domain) after.set(rival, without(domain, [token]));
    }
    return solvable(after, rivals);
  };
  // Only a token that a scarce rival could need can spoil the rest; all others are alike, so one check serves them.
  const scarce = new Set<number>();
  for (const rival of rivals[current]!) {
    const domain = open.get(rival);
    if (domain && sizeOf(domain) <= rivals[rival]!.size) for (const token of members(domain)) scarce.add(token);
  }
  const plain = candidates.find((token) => !scarce.has(token));
  const plainFits = plain !== undefined && fits(plain);
  if (scarce.size === 0) return plainFits ? candidates : [];
  return candidates.filter((token) => (scarce.has(token) ? fits(token) : plainFits));
}

/** Whether every open class can take a token unlike its rivals'. List colouring: hard in general, easy for verse. */
function solvable(open: ReadonlyMap<number, Domain>, rivals: Set<number>[]): boolean {
  let steps = SEARCH_STEPS;
  const search = (domains: Map<number, Domain>): boolean => {
    if (steps-- <= 0) return false;
    dropEasy(domains, rivals);
    let scarcest: [number, Domain] | undefined;
    for (const entry of domains) if (!scarcest || sizeOf(entry[1]) < sizeOf(scarcest[1])) scarcest = entry;
    if (!scarcest) return true;
    const [index, domain] = scarcest;
    for (const token of members(domain)) {
      const rest = new Map(domains);
      rest.delete(index);
      for (const rival of rivals[index]!) {
        const other = rest.get(rival);
        if (other) rest.set(rival, without(other, [token]));
      }
      if (search(rest)) return true;
    }
    return false;
  };
  return search(new Map(open));
}

/** A class with more choices than open rivals can always be chosen last, so it decides nothing. */
function dropEasy(domains: Map<number, Domain>, rivals: Set<number>[]): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const [index, domain] of domains) {
      let openRivals = 0;
      for (const rival of rivals[index]!) if (domains.has(rival)) openRivals++;
      if (sizeOf(domain) > openRivals) {
        domains.delete(index);
        changed = true;
      }
    }
  }
}

const NOTHING: ReadonlySet<number> = new Set();

function sizeOf({ all, gone }: Domain): number {
  return all.size - gone.size;
}

function domainOf(tokens: readonly number[]): Domain {
  const all = new Set(tokens);
  return { list: [...all], all, gone: NOTHING };
}

function members({ list, gone }: Domain): readonly number[] {
  return gone.size === 0 ? list : list.filter((token) => !gone.has(token));
}

function without({ list, all, gone }: Domain, tokens: number[]): Domain {
  return { list, all, gone: new Set([...gone, ...tokens.filter((token) => all.has(token))]) };
}

function tokensOf(text: string, characters: ReadonlyMap<string, number>): number[] {
  return Array.from(text).flatMap((character) => characters.get(character) ?? []);
}

function earlierSlot(slot: number, other: number): number {
  if (!Number.isInteger(other) || other < 0 || other >= slot) impossible(`slot ${slot} refers to slot ${other}`);
  return other;
}

function impossible(reason: string): never {
  throw new ModelError('CONSTRAINT_IMPOSSIBLE', `the constraint cannot be kept: ${reason}`);
}
