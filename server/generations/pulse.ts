/**
 * Says that this process lives, hears of stops asked for in other processes, and ends the replies of processes that died.
 */
import type { Logger } from 'pino';
import type { Pool } from '../db/index.ts';
import { wordError } from '../errors.ts';
import type { Publisher } from '../rooms/index.ts';
import { foldReply } from './fold.ts';
import type { Replies } from './replies.ts';
import { beat, endReply, readStale } from './store.ts';

const BEAT_MS = 2_000;
/** Seven beats missed: longer than any pause of a living process, short enough to wait for. */
const STALE_SECONDS = 15;
const REAP_MS = 5_000;

export interface Pulse {
  stop(): void;
}

export async function startPulse(parts: {
  pool: Pool;
  publisher: Publisher;
  replies: Replies;
  log: Logger;
  /** True when no other process can be using this database: then every reply running at boot is an orphan. */
  alone: boolean;
}): Promise<Pulse> {
  const { pool, log } = parts;
  /** Since when the database has answered without a break. */
  let wellSince = Date.now();

  async function tick(): Promise<void> {
    const { active } = parts.replies;
    if (active.length === 0) return;
    try {
      for (const generation of await beat(pool, active)) parts.replies.stop(generation);
    } catch (error) {
      wellSince = Number.POSITIVE_INFINITY;
      log.warn({ err: error }, 'heartbeat failed');
    }
  }

  async function reapRegularly(): Promise<void> {
    try {
      const stale = await readStale(pool, STALE_SECONDS);
      if (wellSince === Number.POSITIVE_INFINITY) wellSince = Date.now();
      // After an outage nobody has a fresh heartbeat; the living get the time to send one first.
      if (Date.now() - wellSince < STALE_SECONDS * 1_000) return;
      for (const orphan of stale) await reap(orphan, STALE_SECONDS);
    } catch (error) {
      wellSince = Number.POSITIVE_INFINITY;
      log.warn({ err: error }, 'looking for orphaned replies failed');
    }
  }

  async function reap(
    { address, state }: Awaited<ReturnType<typeof readStale>>[number],
    seconds: number,
  ): Promise<void> {
    const error = 'REPLY_INTERRUPTED';
    const ended = foldReply(state, {
      seq: state.generation.lastSeq + 1,
      event: { type: 'error', error: wordError(error) },
    });
    await parts.publisher.write(address.room, async () => {
      const seq = await endReply(pool, address, ended, { checkpointSha: '', error, onlyStaleSeconds: seconds });
      return { result: undefined, events: seq ? [{ seq, type: 'update' as const, message: address.reply }] : [] };
    });
    log.warn({ generation: address.id }, 'ended a reply whose process died');
  }

  const atBoot = parts.alone ? 0 : STALE_SECONDS;
  for (const orphan of await readStale(pool, atBoot)) await reap(orphan, atBoot);
  const timers = [setInterval(() => void tick(), BEAT_MS), setInterval(() => void reapRegularly(), REAP_MS)];
  return {
    stop() {
      for (const timer of timers) clearInterval(timer);
    },
  };
}
