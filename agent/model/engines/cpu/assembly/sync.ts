/**
 * How the threads keep step: tasks are claimed from a shared counter (a thread that the system has put aside does not
 * hold up the others' share), stages are separated by a barrier. Waiting spins for a moment, since the next stage is
 * usually microseconds away, and then sleeps; with nothing to do, every thread but the caller's sleeps.
 */
import { claims, control, threads } from './shared';

/** Words of `control`, one cache line each. */
@inline const EPOCH: usize = 0;
@inline const ARRIVED: usize = 64;
@inline const PHASE: usize = 128;
@inline const SLEEPERS: usize = 192;
@inline const STOP: usize = 256;

/** Loads before a waiting thread goes to sleep; about ten microseconds, the length of a stage. */
@inline const SPINS: i32 = 10_000;
/** A thread that has not reached a barrier by then is dead, nanoseconds. */
@inline const LOST: i64 = 60_000_000_000;

let stage: i32 = 0;

/** Every thread walks through the same stages, so each counts them for itself. */
export function firstStage(): void {
  stage = -1;
}

@inline
export function nextStage(): void {
  stage++;
}

/** The next task of this stage that nobody has taken. */
@inline
export function claim(): i32 {
  return atomic.add<i32>(claims + (<usize>stage << 2), 1);
}

/** Waits until the word at `at` is no longer `seen`. */
function waitChange(at: usize, seen: i32, limit: i64): void {
  for (let i = 0; i < SPINS; i++) if (atomic.load<i32>(at) !== seen) return;
  atomic.add<i32>(control + SLEEPERS, 1);
  while (atomic.load<i32>(at) === seen) {
    // A trap here ends the step with an error, where waiting on would hang the whole model.
    if (atomic.wait<i32>(at, seen, limit) === 2) unreachable();
  }
  atomic.sub<i32>(control + SLEEPERS, 1);
}

function change(at: usize): void {
  atomic.add<i32>(at, 1);
  // A sleeper counts itself before it looks at the word a last time, so none can be missed.
  if (atomic.load<i32>(control + SLEEPERS) > 0) atomic.notify(at, -1);
}

/** True for the last thread to arrive, which must `release()`; the others return, false, when it has. */
export function arriveLast(): bool {
  if (threads === 1) return true;
  const phase = atomic.load<i32>(control + PHASE);
  if (atomic.add<i32>(control + ARRIVED, 1) === threads - 1) return true;
  waitChange(control + PHASE, phase, LOST);
  return false;
}

export function release(): void {
  if (threads === 1) return;
  atomic.store<i32>(control + ARRIVED, 0);
  change(control + PHASE);
}

export function barrier(): void {
  if (arriveLast()) release();
}

/** Called by the caller's thread: wakes the others for a step. */
export function beginStep(): void {
  if (threads > 1) change(control + EPOCH);
}

export function epoch(): i32 {
  return atomic.load<i32>(control + EPOCH);
}

/** Called by the other threads: false when it is time to end. */
export function awaitStep(seen: i32): bool {
  waitChange(control + EPOCH, seen, -1);
  return atomic.load<i32>(control + STOP) === 0;
}

/** Ends the other threads; they are asleep or about to be. */
export function stop(): void {
  atomic.store<i32>(control + STOP, 1);
  change(control + EPOCH);
}
