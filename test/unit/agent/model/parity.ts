/**
 * Comparing an engine with what transformers computed (`pretrain/reference.py`), token for token. The engine is fed the
 * reference's own tokens: while it agrees that is its greedy continuation, and after a near tie the rest is compared too.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Engine, type EngineName, PAGE_TOKENS } from '../../../../agent/model/types.ts';
import { argmax } from './seedling.ts';

export const TINY = fileURLToPath(new URL('./fixtures/tiny-sharded', import.meta.url));
/** `tensorflow` is optional: `npm run setup:tensorflow` leaves this file when it is ready. */
const TENSORFLOW = new URL('../../../../.xiaohe/tensorflow/ready.json', import.meta.url);
export const ENGINES: EngineName[] = ['cpu', 'wasm', ...(existsSync(TENSORFLOW) ? (['tensorflow'] as const) : [])];
/**
 * Largest difference of a logit. fp32 engines add in another order: measured 4e-5 where logits span ± 20. The cpu engine
 * rounds activations to 16 bits a block, keys and values to 14.
 */
export const TOLERANCE: Record<EngineName, number> = {
  cpu: 5e-3,
  wasm: 2e-4,
  tensorflow: 2e-4,
  webgpu: 2e-4,
  remote: 0,
};

export interface ParityCase {
  ids: number[];
  greedy: number[];
  /** The winner's logit at each greedy token. */
  greedy_logits: number[];
  /** [position, runner-up, margin] where the two best nearly tie. */
  close: [number, number, number][];
  /** [position, gap] where the last chosen and the first refused expert nearly tie. */
  rerouted: [number, number][];
}
export interface Parity {
  /** Tokens compared. */
  tokens: number;
  /** Largest difference of a winner's logit, up to a sequence's first router near tie. */
  difference: number;
  /**
   * The same from there on. An engine that rounds may send a row to the other expert of a near tie; that row's logits
   * jump, and later rows read its keys and values.
   */
  differenceRerouted: number;
  /** Median difference of a winner's logit over all tokens. */
  median: number;
  /** Tokens where the engine prefers the runner-up of a near tie. */
  ties: Mismatch[];
  /** Tokens that differ after a router near tie. */
  rerouted: Mismatch[];
  /** Any other token: never right. */
  wrong: Mismatch[];
}
interface Mismatch {
  sequence: number;
  position: number;
  said: number;
  expected: number;
}

/** All prompts as one ragged batch, then all sequences one token a step, at most `steps` tokens each. */
export async function compare(
  engine: Engine,
  cases: ParityCase[],
  vocabulary: number,
  tolerance: number,
  steps = Number.POSITIVE_INFINITY,
): Promise<Parity> {
  const length = Math.max(...cases.map(({ ids, greedy }) => ids.length + Math.min(greedy.length, steps)));
  const perSequence = Math.ceil(length / PAGE_TOKENS);
  if (perSequence * cases.length > engine.pages)
    throw new Error(`${engine.pages} pages are too few for this comparison`);
  // Sequences interleave their pages: one that reads a neighbour's page fails.
  const pages = cases.map((_, i) => Int32Array.from({ length: perSequence }, (_, page) => page * cases.length + i));
  const result: Parity = {
    tokens: 0,
    difference: 0,
    differenceRerouted: 0,
    median: 0,
    ties: [],
    rerouted: [],
    wrong: [],
  };
  const differences: number[] = [];
  const past = cases.map(() => 0);
  let rows = cases.map(({ ids }) => ids);
  for (let position = 0; position < steps; position++) {
    const active = cases.map((_, i) => i).filter((i) => position < cases[i]!.greedy.length);
    if (active.length === 0) break;
    let start = 0;
    const sequences = active.map((i) => {
      const sequence = { start, count: rows[i]!.length, past: past[i]!, pages: pages[i]!, logits: true };
      start += sequence.count;
      past[i]! += sequence.count;
      return sequence;
    });
    const logits = await engine.step({ tokens: Int32Array.from(active.flatMap((i) => rows[i]!)), sequences });
    active.forEach((i, row) => {
      const { greedy, greedy_logits, close, rerouted } = cases[i]!;
      const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      const expected = greedy[position]!;
      const difference = Math.abs(own[expected]! - greedy_logits[position]!);
      const afterTie = rerouted.some(([at]) => at <= position);
      differences.push(difference);
      if (afterTie) result.differenceRerouted = Math.max(result.differenceRerouted, difference);
      else result.difference = Math.max(result.difference, difference);
      const said = argmax(own);
      if (said === expected) return;
      const tie = close.some(
        ([at, runnerUp, margin]) => at === position && runnerUp === said && margin < 2 * tolerance,
      );
      (tie ? result.ties : afterTie ? result.rerouted : result.wrong).push({ sequence: i, position, said, expected });
    });
    rows = cases.map(({ greedy }) => greedy.slice(position, position + 1));
  }
  result.tokens = differences.length;
  result.median = differences.sort((a, b) => a - b)[differences.length >> 1] ?? 0;
  return result;
}

/** In words, for whoever reads the test's output. */
export function describeParity(name: string, parity: Parity): string {
  const { tokens, difference, differenceRerouted, median, ties, rerouted, wrong } = parity;
  return (
    `${name}: ${tokens} tokens, ${tokens - ties.length - rerouted.length - wrong.length} the same ` +
    `(${ties.length} near ties, ${rerouted.length} after a router near tie, ${wrong.length} wrong); logits within ` +
    `${difference.toExponential(1)}, ${differenceRerouted.toExponential(1)} after a router near tie, median ${median.toExponential(1)}`
  );
}
