/**
 * How many rows each running sequence gets in the next step. Pure.
 *
 * Every sequence that only waits for its next token gets it first, so that no reply stutters while a prompt is read.
 * What is left of the budget goes to prompts: half to the oldest (none starves), the rest to the shortest (a greeting
 * does not wait for an essay).
 */

/** `pending`: tokens not yet computed of each sequence, oldest first, at least 1. Returns rows for each, summing ≤ `budget`. */
export function planStep(pending: readonly number[], budget: number): number[] {
  const rows = pending.map(() => 0);
  let left = budget;
  const give = (index: number, most: number) => {
    const count = Math.min(pending[index]! - rows[index]!, most, left);
    rows[index]! += count;
    left -= count;
  };
  pending.forEach((count, index) => {
    if (count === 1) give(index, 1);
  });
  const oldest = pending.findIndex((count) => count > 1);
  if (oldest >= 0) give(oldest, Math.ceil(left / 2));
  const shortestFirst = pending.map((_, index) => index).sort((a, b) => pending[a]! - pending[b]! || a - b);
  for (const index of shortestFirst) give(index, left);
  return rows;
}
