/**
 * Makes replies. Each runs detached from the socket that asked, one at a time within a room, and ends exactly once:
 * done, stopped, withheld or failed. Knows nothing of sockets; what happens is stored and broadcast.
 */
import type { Logger } from 'pino';
import type { Fact, Student, Turn } from '../../agent/types.ts';
import type { Pool } from '../db/index.ts';
import { AppError, codeOf, wordError } from '../errors.ts';
import type { FactChip, Skill, Usage } from '../protocol.ts';
import { annotateMessage, type Broadcast, type Publisher, storable } from '../rooms/index.ts';
import { type Journal, openJournal } from './journal.ts';
import { persist } from './persist.ts';
import { endReply, isFirstInRoom, type ReplyAddress, readTurn } from './store.ts';

/** The mind that answers, and which weights and engine it thinks with. */
export interface Mind {
  student: Student;
  checkpoint: { name: string; sha256: string };
  engine: string;
}

export interface Replies {
  /** Queues the reply behind the room's earlier ones. */
  start(address: ReplyAddress, skill: Skill): void;
  /** Stops a reply this process makes; unknown ones are somebody else's. */
  stop(generation: string): void;
  /** Throws BUSY when a room has too many replies waiting, SHUTTING_DOWN when the server is about to end. */
  admit(room: string): void;
  /** Replies running or waiting here. */
  readonly active: string[];
  /** Lets running replies end within the time, then marks the rest interrupted. */
  drain(milliseconds: number): Promise<void>;
}

/** Earlier messages handed to the mind; it takes of these what fits its context. */
const HISTORY_MESSAGES = 40;
/** A stopped mind has this long to end by itself, which keeps its own numbers; a person sees the stop within 200 ms. */
const STOP_GRACE_MS = 80;
/** Replies waiting in one room before new messages are turned away: ten minutes of talk is enough of a queue. */
const ROOM_QUEUE = 60;
/** How often a reply looks whether those of other processes before it have ended. */
const TURN_POLL_MS = 150;

interface Reply {
  address: ReplyAddress;
  journal: Journal;
  abort: AbortController;
  askedAt: number;
  checkpointSha: string;
  settled?: Promise<void>;
}
type Ending =
  | { status: 'done' | 'stopped' | 'withheld'; text?: string; usage?: Usage }
  | { status: 'failed'; code: string };

export function createReplies(parts: {
  pool: Pool;
  process: string;
  publisher: Publisher;
  broadcast: Broadcast;
  log: Logger;
  /** Resolves when the model is loaded; replies asked before wait for it. */
  mind: () => Promise<Mind>;
  observe: { firstText(ms: number): void; ended(status: string, ms: number): void };
}): Replies {
  const { pool, publisher, log } = parts;
  const active = new Map<string, Reply>();
  const tails = new Map<string, Promise<void>>();
  let draining = false;

  function start(address: ReplyAddress, skill: Skill): void {
    const askedAt = performance.now();
    const onFirstText = () => parts.observe.firstText(performance.now() - askedAt);
    const journal = openJournal(address, skill, { pool, broadcast: parts.broadcast, log, onFirstText });
    const reply: Reply = { address, journal, abort: new AbortController(), askedAt, checkpointSha: '' };
    active.set(address.id, reply);
    const { signal } = reply.abort;
    signal.addEventListener('abort', () => {
      setTimeout(() => void settle(reply, { status: 'stopped' }), STOP_GRACE_MS);
    });
    const before = tails.get(address.room) ?? Promise.resolve();
    const mine = before.then(() => run(reply));
    tails.set(address.room, mine);
    void mine.then(() => {
      if (tails.get(address.room) === mine) tails.delete(address.room);
    });
  }

  /** Never rejects. The next reply of the room starts when this one is settled and its mind is quiet. */
  async function run(reply: Reply): Promise<void> {
    try {
      await answer(reply);
      // A mind that ends without saying how has broken its promise.
      if (!reply.settled) throw new AppError('INTERNAL', 'the turn ended without an end');
    } catch (error) {
      if (reply.settled)
        log.warn({ err: error, generation: reply.address.id }, 'the turn failed after its reply ended');
      else if (reply.abort.signal.aborted) void settle(reply, { status: 'stopped' });
      else {
        log.error({ err: error, generation: reply.address.id }, 'reply failed');
        void settle(reply, { status: 'failed', code: codeOf(error) });
      }
    }
    await reply.settled;
  }

  async function answer(reply: Reply): Promise<void> {
    const { address, journal } = reply;
    const { signal } = reply.abort;
    await whenFirst(reply);
    const mind = await unlessAborted(parts.mind(), signal);
    const asked = await persist(() => readTurn(pool, address.message, HISTORY_MESSAGES));
    signal.throwIfAborted();
    reply.checkpointSha = mind.checkpoint.sha256;
    const turn: Turn = {
      generation: address.id,
      scope: address.room,
      speaker: { id: asked.author, name: asked.author_name },
      shared: asked.kind !== 'me',
      message: { id: address.message, text: asked.text, sentAt: asked.sent_at },
      ...(asked.skill && { skill: asked.skill }),
      history: asked.history,
      signal,
    };
    for await (const event of mind.student.turn(turn)) {
      // Stopped by us before the mind got round to it: whatever it still says is not shown.
      if (reply.settled) continue;
      switch (event.type) {
        case 'learned':
          if (event.facts.length > 0) annotate(reply, { learned: event.facts.map(chip) });
          break;
        case 'notice':
          annotate(reply, { notice: event.code });
          break;
        case 'start':
          journal.put({
            type: 'start',
            skill: event.skill,
            checkpoint: mind.checkpoint.name,
            engine: mind.engine,
          });
          break;
        case 'recall':
          journal.put({ type: 'recall', facts: event.facts.map(chip) });
          break;
        case 'delta':
          journal.text(event.text);
          break;
        case 'verse':
          journal.put({ type: 'verse', report: event.report });
          break;
        case 'end': {
          const { joules, gco2e, measured } = event.energy;
          const usage = { ...event.usage, energyJ: joules, gco2e, measured };
          void settle(reply, { status: event.status, text: event.text, usage });
        }
      }
    }
  }

  /** Ends a reply; the first ending counts. */
  function settle(reply: Reply, ending: Ending): Promise<void> {
    reply.settled ??= finish(reply, ending).finally(() => active.delete(reply.address.id));
    return reply.settled;
  }

  async function finish({ address, journal, askedAt, checkpointSha }: Reply, ending: Ending): Promise<void> {
    const { status } = ending;
    if (status === 'failed') journal.put({ type: 'error', error: wordError(ending.code) });
    else journal.put({ type: 'end', status, ...(ending.usage && { usage: ending.usage }) });
    const text = status === 'withheld' ? '' : storable(('text' in ending && ending.text) || journal.state.text);
    const error = status === 'failed' ? ending.code : status === 'withheld' ? 'REPLY_WITHHELD' : undefined;
    parts.observe.ended(status, performance.now() - askedAt);
    try {
      await journal.save();
      await persist(() =>
        publisher.write(address.room, async () => {
          const ended = { ...journal.state, text };
          const seq = await endReply(pool, address, ended, { checkpointSha, ...(error && { error }) });
          return { result: undefined, events: seq ? [{ seq, type: 'update' as const, message: address.reply }] : [] };
        }),
      );
    } catch (cause) {
      // People have seen the reply; the reaper will end its row once the database is back.
      log.error({ err: cause, generation: address.id }, 'the end of a reply was not stored');
    }
  }

  function annotate({ address }: Reply, note: { learned?: FactChip[]; notice?: string }): void {
    const { room, message } = address;
    persist(() =>
      publisher.write(room, async () => {
        const seq = await annotateMessage(pool, message, note);
        return { result: undefined, events: seq ? [{ seq, type: 'update' as const, message }] : [] };
      }),
    ).catch((error: unknown) => log.error({ err: error, message }, 'a note beside a message was not stored'));
  }

  async function whenFirst({ address, abort: { signal } }: Reply): Promise<void> {
    while (!(await persist(() => isFirstInRoom(pool, address.room, address.id)))) {
      await unlessAborted(new Promise((resolve) => setTimeout(resolve, TURN_POLL_MS)), signal);
    }
  }

  return {
    start,
    stop: (generation) => active.get(generation)?.abort.abort(),
    admit(room) {
      if (draining) throw new AppError('SHUTTING_DOWN', undefined, { retryAfterMs: 3_000 });
      const waiting = [...active.values()].filter((reply) => reply.address.room === room).length;
      if (waiting >= ROOM_QUEUE)
        throw new AppError('BUSY', `${waiting} replies wait in one room`, { retryAfterMs: 2_000 });
    },
    get active() {
      return [...active.keys()];
    },
    async drain(milliseconds) {
      draining = true;
      const deadline = Date.now() + milliseconds;
      while (active.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
      const left = [...active.values()];
      const ended = left.map((reply) => settle(reply, { status: 'failed', code: 'REPLY_INTERRUPTED' }));
      for (const reply of left) reply.abort.abort();
      await Promise.all(ended);
    },
  };
}

function chip({ id, text, teacher, saidAt, message }: Fact): FactChip {
  return { id, text, teacher, saidAt: saidAt.toISOString(), message };
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort);
  }
}
