/**
 * What leaves the worker: events gathered into few messages, because a message wakes the caller's thread, and on a small
 * machine that thread and the engine share a core. A reply's first token, its end and its error never wait.
 */
import type { ReplyEvent } from './messages.ts';

/** Milliseconds for which tokens are gathered: below what an eye can tell, several steps of a small model. */
export const GATHER_MS = 8;

export class Outbox {
  readonly #send: (events: ReplyEvent[]) => void;
  readonly #now: () => number;
  #held: ReplyEvent[] = [];
  #sentAt = Number.NEGATIVE_INFINITY;
  /** Replies that have said something. */
  readonly #speaking = new Set<number>();

  constructor(send: (events: ReplyEvent[]) => void, now: () => number = () => performance.now()) {
    this.#send = send;
    this.#now = now;
  }

  /** One step's events. What is held back goes out with a later step at the latest: every reply has an end. */
  push(events: ReplyEvent[]): void {
    let urgent = false;
    for (const reply of events) {
      this.#held.push(reply);
      if ('error' in reply || reply.event.type === 'end') {
        this.#speaking.delete(reply.id);
        urgent = true;
      } else if (!this.#speaking.has(reply.id)) {
        this.#speaking.add(reply.id);
        urgent = true;
      }
    }
    const now = this.#now();
    if (!urgent && now - this.#sentAt < GATHER_MS) return;
    const out = this.#held;
    this.#held = [];
    this.#sentAt = now;
    this.#send(out);
  }
}
