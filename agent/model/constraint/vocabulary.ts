/**
 * Which tokens may come next: a vocabulary's byte strings in a trie, walked together with an expression. Pure but for what
 * it remembers.
 *
 * The walk through a whole vocabulary is done once for the head of a sequence (say, the inside of a string) and remembered;
 * what comes after the head only concerns the few tokens that reach beyond it.
 */
import type { Expression, Grammar } from './grammar.ts';

/** A token may cost this much at most to be worth telling apart; more bytes than any context holds. */
const FAR = 0xffff;

interface TrieNode {
  /** Tokens that end here: one, save for vocabularies with duplicates. */
  tokens: number[];
  children: Map<number, TrieNode>;
}

/** Tokens that stay inside one expression. */
interface Inside {
  tokens: Uint32Array;
  /** Bytes of the shortest way from there to its end. */
  costs: Uint16Array;
  /** Where it may end with more of a token left, by the next byte. */
  exits: Map<number, TrieNode[]>;
}

export interface Allowed {
  tokens: Uint32Array;
  /** For each token, bytes that must still follow it, at least. One byte is at most one token. */
  costs: Uint16Array;
  /** The largest of them. */
  dearest: number;
}

export class Vocabulary {
  readonly #root: TrieNode = { tokens: [], children: new Map() };
  readonly #bytes: ReadonlyMap<number, Uint8Array>;
  readonly #inside = new WeakMap<Expression, Inside>();
  readonly #allowed = new WeakMap<Expression, Allowed>();
  /** By token, the cost of the cheapest way found so far in this walk. */
  readonly #costs: Uint16Array;
  #longest = 1;

  /** Ordinary tokens only; special ones are no text. */
  constructor(bytes: ReadonlyMap<number, Uint8Array>) {
    this.#bytes = bytes;
    let largest = 0;
    for (const [token, spelling] of bytes) {
      if (spelling.length === 0) continue;
      largest = Math.max(largest, token);
      this.#longest = Math.max(this.#longest, spelling.length);
      let node = this.#root;
      for (const byte of spelling) {
        const child = node.children.get(byte) ?? { tokens: [], children: new Map() };
        node.children.set(byte, child);
        node = child;
      }
      node.tokens.push(token);
    }
    this.#costs = new Uint16Array(largest + 1).fill(FAR);
  }

  /** Remembered, so it must not be changed. */
  allowed(grammar: Grammar, state: Expression): Allowed {
    const short = grammar.shorten(state, this.#longest);
    const known = this.#allowed.get(short);
    if (known) return known;
    for (const item of short.kind === 'choice' ? short.items : [short]) this.#collect(grammar, item);
    const allowed = this.#harvest();
    this.#allowed.set(short, allowed);
    return allowed;
  }

  /** What may follow this token; undefined when it does not fit. */
  push(grammar: Grammar, state: Expression, token: number): Expression | undefined {
    let left: Expression | undefined = state;
    for (const byte of this.#bytes.get(token) ?? []) left = left && grammar.derive(left, byte);
    return left;
  }

  #collect(grammar: Grammar, state: Expression): void {
    if (state.kind === 'choice') {
      for (const item of state.items) this.#collect(grammar, item);
      return;
    }
    if (state.kind === 'reference') {
      if (state.target) this.#collect(grammar, state.target);
      return;
    }
    const [head, tail] = state.kind === 'sequence' ? [state.head, state.tail] : [state, grammar.nothing];
    if (head.kind === 'reference' || head.kind === 'choice') {
      // Opened up, so that what is inside is found remembered.
      for (const item of head.kind === 'choice' ? head.items : [head.target])
        if (item) this.#collect(grammar, grammar.sequence(item, tail) ?? item);
      return;
    }
    const { tokens, costs, exits } = this.#insideOf(grammar, head);
    if (tail.least === Infinity) return;
    for (let i = 0; i < tokens.length; i++) this.#offer(tokens[i]!, costs[i]! + tail.least);
    for (const [byte, nodes] of exits) {
      const after = grammar.derive(tail, byte);
      if (after) for (const node of nodes) this.#descend(grammar, after, node);
    }
    if (head.nullable && tail !== grammar.nothing) this.#collect(grammar, tail);
  }

  /** Offers `node`'s tokens, which lead to `state`, and all below it that still fit. */
  #descend(grammar: Grammar, state: Expression, node: TrieNode): void {
    for (const token of node.tokens) this.#offer(token, state.least);
    for (const [byte, child] of node.children) {
      const after = grammar.derive(state, byte);
      if (after) this.#descend(grammar, after, child);
    }
  }

  #insideOf(grammar: Grammar, head: Expression): Inside {
    const known = this.#inside.get(head);
    if (known) return known;
    const tokens: number[] = [];
    const costs: number[] = [];
    const exits = new Map<number, TrieNode[]>();
    const visit = (state: Expression, node: TrieNode) => {
      for (const token of node.tokens) {
        tokens.push(token);
        costs.push(Math.min(state.least, FAR - 1));
      }
      for (const [byte, child] of node.children) {
        // At the root the tail is looked at as a whole.
        if (state.nullable && node !== this.#root) {
          const list = exits.get(byte);
          if (list) list.push(child);
          else exits.set(byte, [child]);
        }
        const after = grammar.derive(state, byte);
        if (after) visit(after, child);
      }
    };
    visit(head, this.#root);
    const inside = { tokens: Uint32Array.from(tokens), costs: Uint16Array.from(costs), exits };
    this.#inside.set(head, inside);
    return inside;
  }

  #offer(token: number, cost: number): void {
    if (cost < this.#costs[token]!) this.#costs[token] = Math.min(cost, FAR - 1);
  }

  /** The tokens offered, ascending; clears the table for the next walk. */
  #harvest(): Allowed {
    const table = this.#costs;
    let count = 0;
    for (let token = 0; token < table.length; token++) if (table[token]! < FAR) count++;
    const tokens = new Uint32Array(count);
    const costs = new Uint16Array(count);
    let at = 0;
    let dearest = 0;
    for (let token = 0; token < table.length; token++) {
      const cost = table[token]!;
      if (cost === FAR) continue;
      tokens[at] = token;
      costs[at++] = cost;
      dearest = Math.max(dearest, cost);
    }
    table.fill(FAR);
    return { tokens, costs, dearest };
  }
}
