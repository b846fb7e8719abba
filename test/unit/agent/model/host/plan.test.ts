/** The step planner's promises. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { planStep } from '../../../../../agent/model/host/plan.ts';

it('serves waiting tokens first, fills the budget, exceeds nothing and starves nobody', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 400 })), { minLength: 1, maxLength: 32 }),
      fc.integer({ min: 33, max: 256 }),
      (pending, budget) => {
        const rows = planStep(pending, budget);
        const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
        expect(sum(rows)).toBe(Math.min(budget, sum(pending)));
        rows.forEach((count, i) => {
          expect(count).toBeGreaterThanOrEqual(pending[i] === 1 ? 1 : 0);
          expect(count).toBeLessThanOrEqual(pending[i]!);
        });
        const oldest = pending.findIndex((count) => count > 1);
        if (oldest >= 0) expect(rows[oldest]).toBeGreaterThan(0);
      },
    ),
  );
});

it('lets a greeting pass an essay', () => {
  expect(planStep([1_000, 20], 128)).toEqual([108, 20]);
});
