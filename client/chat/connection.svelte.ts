/**
 * The page's one connection, outbox and set of open rooms, wired together. Components read its state; all decisions are
 * made in `outbox.ts`, `feed.ts` and `room.ts`.
 */
import { openSession } from './api.ts';
import { Outbox, type Pending } from './outbox.ts';
import { RoomSession } from './session.svelte.ts';
import { Link, type LinkStatus } from './socket.ts';
import { browserStore } from './store.ts';

class Connection {
  status: LinkStatus = $state('connecting');
  pending: readonly Pending[] = $state.raw([]);
  /** The page has been connected before: losing the connection now is news, connecting at first is not. */
  established = $state(false);
  readonly #rooms = new Map<string, RoomSession>();
  readonly #outbox = new Outbox({
    store: browserStore(),
    send: ({ id, room, text, skill }) =>
      this.#link.call('message.send', skill ? { room, id, text, skill } : { room, id, text }),
    changed: (pending) => {
      this.pending = pending;
    },
    newId: () => crypto.randomUUID(),
    now: Date.now,
    after: (ms, run) => setTimeout(run, ms),
  });
  readonly #link = new Link({
    status: (status) => {
      this.status = status;
    },
    connected: () => {
      this.established = true;
      // Packets keep their order on the wire, so the joins stand before the messages.
      for (const session of this.#rooms.values()) void session.join();
      this.#outbox.connected();
    },
    disconnected: () => this.#outbox.disconnected(),
    roomEvent: (event) => {
      for (const session of this.#rooms.values()) session.feed.onRoom(event);
    },
    generationEvent: (event) => {
      for (const session of this.#rooms.values()) session.feed.onGeneration(event);
    },
  });

  constructor() {
    this.pending = this.#outbox.pending;
  }

  start(): void {
    void this.#link.open();
  }

  /** The session of a room, joined now or as soon as there is a connection. */
  room(name: string): RoomSession {
    let session = this.#rooms.get(name);
    if (!session) {
      session = new RoomSession(name, this.#link, this.#outbox);
      this.#rooms.set(name, session);
      if (this.status === 'online') void session.join();
    }
    return session;
  }

  async rename(name: string): Promise<boolean> {
    const { ok } = await openSession(name);
    if (ok) this.#link.restart();
    return ok;
  }
}

export const connection = new Connection();
