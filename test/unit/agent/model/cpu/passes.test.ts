/** Cutting a batch into passes loses, moves and reorders nothing, and refuses what would reach outside. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutPasses } from '../../../../../agent/model/engines/cpu/passes.ts';
import { type Batch, type BatchSequence, PAGE_TOKENS } from '../../../../../agent/model/types.ts';

const LIMITS = { vocabulary: 100, context: 320, pages: 64, rows: 24, logits: 5 };

const batches = fc
  .array(
    fc.record({ count: fc.integer({ min: 1, max: 70 }), past: fc.integer({ min: 0, max: 200 }), logits: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 9,
    },
  )
  .map((shapes): Batch => {
    let start = 0;
    const sequences = shapes.map((shape, n): BatchSequence => {
      const length = Math.ceil((shape.past + shape.count) / PAGE_TOKENS) + 1;
      const sequence = {
        ...shape,
        start,
        pages: Int32Array.from({ length }, (_, i) => (n * 7 + i * 3) % LIMITS.pages),
      };
      start += shape.count;
      return sequence;
    });
    return { tokens: Int32Array.from({ length: start }, (_, i) => (i * 37) % LIMITS.vocabulary), sequences };
  });

describe('cutPasses', () => {
  it('every row comes once, in order, with its position and the page that holds it', () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const passes = cutPasses(batch, LIMITS);
        const rows = passes.flatMap((pass) =>
          pass.tokens.map((token, r) => ({
            token,
            position: pass.positions[r],
            page: pass.pages[pass.pagesAt[r]! + Math.floor(pass.positions[r]! / PAGE_TOKENS)],
            wanted: pass.wanted.includes(r),
          })),
        );
        const expected = batch.sequences.flatMap((s) =>
          Array.from({ length: s.count }, (_, i) => ({
            token: batch.tokens[s.start + i],
            position: s.past + i,
            page: s.pages[Math.floor((s.past + i) / PAGE_TOKENS)],
            wanted: s.logits && i === s.count - 1,
          })),
        );
        expect(rows).toEqual(expected);
        for (const pass of passes) {
          expect(pass.tokens.length).toBeLessThanOrEqual(LIMITS.rows);
          expect(pass.wanted.length).toBeLessThanOrEqual(LIMITS.logits);
        }
      }),
    );
  });

  const one = (change: Partial<BatchSequence>, token = 1): Batch => ({
    tokens: Int32Array.of(token, 1, 1),
    sequences: [{ start: 0, count: 3, past: 0, pages: Int32Array.of(0, 1), logits: true, ...change }],
  });

  it.each([
    ['a token past the vocabulary', one({}, 100), 'TOKEN_OUT_OF_RANGE'],
    ['a negative token', one({}, -1), 'TOKEN_OUT_OF_RANGE'],
    ['a position past the context', one({ past: 318, pages: new Int32Array(21) }), 'CONTEXT_TOO_LONG'],
  ])('refuses %s', (_, batch, code) => {
    expect(() => cutPasses(batch, LIMITS)).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['too few pages', one({ past: 30 })],
    ['a page that does not exist', one({ pages: Int32Array.of(64) })],
    ['a negative page', one({ pages: Int32Array.of(-1) })],
    ['more rows than tokens', one({ count: 4 })],
    ['no rows', one({ count: 0 })],
  ])('refuses %s', (_, batch) => {
    expect(() => cutPasses(batch, LIMITS)).toThrow(RangeError);
  });
});
