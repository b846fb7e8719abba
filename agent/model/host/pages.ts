/**
 * Who owns which KV page. Pure bookkeeping: no memory, no clock.
 *
 * A sequence leases all the pages it can ever need when it starts, so a running reply is never thrown out for lack of
 * room. Full pages are sealed into a cache keyed by the chain of tokens before them; a later prompt with the same
 * beginning leases those pages again instead of computing them. Unleased cached pages wait in least-recently-used order
 * and are taken back when nothing is free.
 */
import { PAGE_TOKENS } from '../types.ts';

export interface Lease {
  /** In order of position. Sealing may replace a page by an identical one that was cached first. */
  pages: Int32Array;
  /** Tokens already computed in its pages when the lease began. */
  cached: number;
  /** How many of its pages, from the first, are in the cache. */
  sealed: number;
}

export class PageTable {
  readonly #free: number[];
  readonly #owners: Int32Array;
  /** Chain key → cached page. */
  readonly #cache = new Map<string, number>();
  /** Cached page → its key. */
  readonly #keys = new Map<number, string>();
  /**
   * Cached pages nobody leases, least recently used first. A page is always older here than the page before it in its
   * chain (leases are returned last page first), so what is evicted never has a cached successor.
   */
  readonly #idle = new Set<number>();

  constructor(pages: number) {
    // Popped from the end: low pages first, so that untouched memory stays untouched.
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
    this.#owners = new Int32Array(pages);
  }

  /** Pages that could be leased now. */
  get available(): number {
    return this.#free.length + this.#idle.size;
  }
  get cachedPages(): number {
    return this.#cache.size;
  }

  /**
   * Pages for `room` positions, those of the longest cached beginning of `prompt` among them; undefined, and nothing
   * changed, when there are too few. At least the prompt's last token is left to compute: its logits are wanted.
   */
  lease(prompt: readonly number[], room: number): Lease | undefined {
    const hits = this.#match(prompt);
    const fresh = Math.ceil(room / PAGE_TOKENS) - hits.length;
    const idleHits = hits.filter((page) => this.#idle.has(page)).length;
    if (fresh > this.available - idleHits) return undefined;
    for (const page of hits) this.#own(page);
    const pages = Int32Array.from([...hits, ...Array.from({ length: fresh }, () => this.#take())]);
    return { pages, cached: hits.length * PAGE_TOKENS, sealed: hits.length };
  }

  /** Offers the pages filled by the first `computed` of `tokens` to the cache. */
  seal(lease: Lease, tokens: readonly number[], computed: number): void {
    for (; (lease.sealed + 1) * PAGE_TOKENS <= computed; lease.sealed++) {
      const index = lease.sealed;
      const page = lease.pages[index]!;
      const key = chainKey(lease.pages[index - 1], tokens, index);
      const known = this.#cache.get(key);
      if (known === undefined) {
        this.#cache.set(key, page);
        this.#keys.set(page, key);
      } else if (known !== page) {
        // Computed twice at the same time: keep the first, so that every chain has one page an entry.
        this.#own(known);
        lease.pages[index] = known;
        this.#disown(page);
      }
    }
  }

  /** Gives the pages back. The lease must not be used again. */
  release(lease: Lease): void {
    for (let index = lease.pages.length - 1; index >= 0; index--) this.#disown(lease.pages[index]!);
    lease.pages = new Int32Array();
  }

  #match(prompt: readonly number[]): number[] {
    const hits: number[] = [];
    while ((hits.length + 1) * PAGE_TOKENS < prompt.length) {
      const page = this.#cache.get(chainKey(hits.at(-1), prompt, hits.length));
      if (page === undefined) break;
      hits.push(page);
    }
    return hits;
  }

  #own(page: number): void {
    this.#owners[page]!++;
    this.#idle.delete(page);
  }

  #disown(page: number): void {
    if (--this.#owners[page]! > 0) return;
    if (this.#keys.has(page)) this.#idle.add(page);
    else this.#free.push(page);
  }

  #take(): number {
    const page = this.#free.pop() ?? this.#evict();
    this.#owners[page] = 1;
    return page;
  }

  #evict(): number {
    const [page] = this.#idle;
    if (page === undefined) throw new Error('no page to evict: availability was not checked');
    this.#idle.delete(page);
    this.#cache.delete(this.#keys.get(page)!);
    this.#keys.delete(page);
    return page;
  }
}

/** The page before stands for the whole chain before it: it cannot be reused while this key is cached. */
function chainKey(before: number | undefined, tokens: readonly number[], index: number): string {
  return `${before ?? 'start'}:${tokens.slice(index * PAGE_TOKENS, (index + 1) * PAGE_TOKENS).join()}`;
}
