/**
 * Keeps trying a write while the database is away or its disk full, for a bounded time: a restart of PostgreSQL must not
 * lose a reply.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { passesByItself } from '../errors.ts';

/** A PostgreSQL restart takes seconds, a failover up to a minute. */
export const GIVE_UP_MS = 60_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 2_000;

/** Other errors, and the last one after the time is up, are thrown. The write must be safe to repeat. */
export async function persist<T>(write: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + GIVE_UP_MS;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await write();
    } catch (error) {
      if (!passesByItself(error) || Date.now() + pause > deadline) throw error;
      await sleep(pause);
    }
  }
}
