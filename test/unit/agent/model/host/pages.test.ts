/** The page table against a simulated memory: no page leaked, none owned twice, no hit with the wrong content. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lease, PageTable } from '../../../../../agent/model/host/pages.ts';
import { PAGE_TOKENS } from '../../../../../agent/model/types.ts';

const TOTAL = 12;

/** Prompts made of few distinct pages and a ragged end, so that beginnings repeat. */
const prompt = fc
  .tuple(fc.array(fc.nat(1), { maxLength: 5 }), fc.integer({ min: 1, max: PAGE_TOKENS }))
  .map(([blocks, rest]) => [
    ...blocks.flatMap((block) => new Array<number>(PAGE_TOKENS).fill(block)),
    ...new Array<number>(rest).fill(2),
  ]);
const action = fc.oneof(
  fc.record({ type: fc.constant('lease' as const), prompt, extra: fc.nat(30) }),
  fc.record({ type: fc.constant('compute' as const), which: fc.nat(), tokens: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ type: fc.constant('release' as const), which: fc.nat() }),
);

interface Open {
  lease: Lease;
  tokens: number[];
  computed: number;
}

class World {
  readonly table = new PageTable(TOTAL);
  readonly open: Open[] = [];
  /** What each page holds: all tokens up to its end. */
  readonly content = new Map<number, string>();

  lease(tokens: number[], extra: number) {
    const before = this.table.available;
    const lease = this.table.lease(tokens, tokens.length + extra);
    if (!lease) {
      expect(this.table.available).toBe(before);
      return;
    }
    expect(lease.pages.length).toBe(Math.ceil((tokens.length + extra) / PAGE_TOKENS));
    expect(new Set(lease.pages).size).toBe(lease.pages.length);
    expect(lease.cached).toBeLessThan(tokens.length);
    for (let i = 0; i < lease.cached / PAGE_TOKENS; i++)
      expect(this.content.get(lease.pages[i]!)).toBe(tokens.slice(0, (i + 1) * PAGE_TOKENS).join());
    this.open.push({ lease, tokens, computed: lease.cached });
  }

  compute(which: number, count: number) {
    const one = this.open[which % this.open.length];
    if (!one) return;
    const to = Math.min(one.computed + count, one.tokens.length);
    for (let at = one.computed; at < to; at++) {
      const page = one.lease.pages[Math.floor(at / PAGE_TOKENS)]!;
      // Writing into a page somebody else reads would corrupt their reply.
      for (const other of this.open) if (other !== one) expect([...other.lease.pages]).not.toContain(page);
      this.content.set(page, one.tokens.slice(0, at + 1).join());
    }
    one.computed = to;
    this.table.seal(one.lease, one.tokens, to);
  }

  release(which: number) {
    const [one] = this.open.splice(which % Math.max(1, this.open.length), 1);
    if (one) this.table.release(one.lease);
  }

  check() {
    const leased = new Set(this.open.flatMap(({ lease }) => [...lease.pages]));
    expect(this.table.available + leased.size).toBe(TOTAL);
    for (const { lease, tokens, computed } of this.open)
      for (let i = 0; i < Math.floor(computed / PAGE_TOKENS); i++)
        expect(this.content.get(lease.pages[i]!)).toBe(tokens.slice(0, (i + 1) * PAGE_TOKENS).join());
  }
}

describe('page table', () => {
  it('keeps every page in exactly one place, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const world = new World();
        for (const step of actions) {
          if (step.type === 'lease') world.lease(step.prompt, step.extra);
          else if (step.type === 'compute') world.compute(step.which, step.tokens);
          else world.release(step.which);
          world.check();
        }
        while (world.open.length > 0) world.release(0);
        expect(world.table.available).toBe(TOTAL);
        // And everything can be leased again by one that shares nothing.
        expect(world.table.lease([9], TOTAL * PAGE_TOKENS)?.pages.length).toBe(TOTAL);
      }),
      { numRuns: 400 },
    );
  });

  it('finds a beginning again, and keeps the last token to compute', () => {
    const table = new PageTable(TOTAL);
    const tokens = Array.from({ length: 2 * PAGE_TOKENS }, (_, i) => i);
    const first = table.lease(tokens, 40)!;
    expect(first.cached).toBe(0);
    table.seal(first, tokens, tokens.length);
    table.release(first);
    expect(table.lease([...tokens, 7], 40)!.cached).toBe(2 * PAGE_TOKENS);
    expect(table.lease(tokens, 40)!.cached).toBe(PAGE_TOKENS);
    expect(table.lease([1, ...tokens], 40)!.cached).toBe(0);
  });
});
