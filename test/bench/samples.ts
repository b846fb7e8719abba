/** What several runs of the same measurement become: a median, and a row beside its peer's. */
import type { Row } from './main.ts';

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Three digits are as many as these machines can repeat; whole numbers from a thousand on. */
export function rounded(value: number): number {
  return value >= 1_000 ? Math.round(value) : Number(value.toPrecision(3));
}

/** `ratio` is always how many times better we are: for rates ours ÷ theirs, for times the inverse. */
export function compared(row: Omit<Row, 'ours' | 'runs'>, ours: readonly number[], theirs: readonly number[]): Row {
  const { peer, ...rest } = row;
  const mine = median(ours);
  const result: Row = { ...rest, ours: rounded(mine), runs: ours.length };
  if (peer === undefined || theirs.length === 0) return result;
  const other = median(theirs);
  const better = row.unit.endsWith('/s') ? mine / other : other / mine;
  return { ...result, peer, theirs: rounded(other), ratio: rounded(better) };
}
