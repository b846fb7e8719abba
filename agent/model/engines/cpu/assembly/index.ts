/**
 * The engine's kernels as one WebAssembly module: a whole step of the network in one call. Every thread has its own
 * instance over one shared memory and runs the same `step`; the work is divided task by task inside.
 */
import { attend } from './attention';
import { makeLogits, output, qkv, summarise } from './dense';
import { down, gateUp } from './experts';
import { betweenStages, COMBINE, EMBED, FINAL, ROUTE } from './rows';
import { hidden, layers, order, residual, wanted } from './shared';
import { arriveLast, awaitStep, barrier, beginStep, firstStage, release } from './sync';

export * from './shared';
export { stop } from './sync';
/** For the tests of the single kernels. */
export { exponential, normalise, quantise } from './arithmetic';
export { multiply } from './multiply';
export { embed } from './rows';

function forward(): void {
  const n = load<i32>(order);
  const asked = load<i32>(order, 4);
  const withLogits = load<i32>(order, 8) !== 0;
  firstStage();
  betweenStages(EMBED, 0, n);
  for (let layer = 0; layer < layers; layer++) {
    qkv(layer, n);
    const last = layer === layers - 1;
    if (last) {
      keepWanted(asked);
      if (asked === 0) return;
    } else barrier();
    // Nothing after the last layer's keys and values depends on rows that nobody asks for.
    const rows = last ? asked : n;
    attend(layer, rows, last);
    barrier();
    output(layer, rows);
    betweenStages(ROUTE, layer, rows);
    gateUp(layer);
    barrier();
    down(layer);
    betweenStages(last ? FINAL : COMBINE, layer + 1, rows);
  }
  if (!withLogits) return;
  makeLogits(asked);
  barrier();
  summarise(asked);
  barrier();
}

/** A barrier that also moves the wanted rows of the residual stream, in ascending order, to the front. */
function keepWanted(asked: i32): void {
  if (!arriveLast()) return;
  const bytes = <usize>hidden << 2;
  for (let i = 0; i < asked; i++) {
    const row = <usize>load<i32>(wanted + (<usize>i << 2));
    memory.copy(residual + <usize>i * bytes, residual + row * bytes, bytes);
  }
  release();
}

/** One step, called by the caller's thread; returns when all threads are done. */
export function step(): void {
  beginStep();
  forward();
}

/** The life of another thread; `from` is the epoch it was born in. */
export function serve(from: i32): void {
  let seen = from;
  while (awaitStep(seen)) {
    seen++;
    forward();
  }
}
