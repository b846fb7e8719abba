/**
 * Tells a room what was stored. Writes to one room are queued behind each other within this process, so that events go
 * out in the order of their numbers; readers of other processes detect a gap by the number and ask again.
 */
import type { Pool } from '../db/index.ts';
import type { GenerationEvent, RoomEvent } from '../protocol.ts';
import { membersById, messagesById } from './replay.ts';

/** Where events go: Socket.IO in the server. */
export interface Broadcast {
  room(event: RoomEvent): void;
  generation(event: GenerationEvent): void;
}

export interface Publisher {
  /** Runs a write when its turn in the room comes; the events it returns are broadcast before the next write runs. */
  write<T>(room: string, write: () => Promise<{ result: T; events: StoredEvent[] }>): Promise<T>;
}
export type StoredEvent = { seq: number } & (
  | { type: 'message' | 'update'; message: string }
  | { type: 'member'; person: string }
);

export function createPublisher(pool: Pool, broadcast: Broadcast): Publisher {
  const tails = new Map<string, Promise<unknown>>();

  async function publish(room: string, events: StoredEvent[]): Promise<void> {
    const messages = await messagesById(
      pool,
      events.flatMap((event) => (event.type === 'member' ? [] : [event.message])),
    );
    const members = await membersById(
      pool,
      room,
      events.flatMap((event) => (event.type === 'member' ? [event.person] : [])),
    );
    for (const event of events) {
      if (event.type === 'member') {
        const member = members.get(event.person);
        if (member) broadcast.room({ room, seq: event.seq, type: 'member', member });
      } else {
        const message = messages.get(event.message);
        if (message) broadcast.room({ room, seq: event.seq, type: event.type, message });
      }
    }
  }

  return {
    write(room, write) {
      const before = tails.get(room) ?? Promise.resolve();
      const mine = before.then(async () => {
        const { result, events } = await write();
        // What is stored is stored: if reading it back fails, readers find the gap and ask.
        if (events.length > 0) await publish(room, events).catch(() => undefined);
        return result;
      });
      const tail = mine.catch(() => undefined);
      tails.set(room, tail);
      void tail.then(() => {
        if (tails.get(room) === tail) tails.delete(room);
      });
      return mine;
    },
  };
}
