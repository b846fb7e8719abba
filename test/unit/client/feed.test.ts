/** A room kept in step over a channel that loses, repeats and reorders: the reader always ends with what the server has. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type FeedView, RoomFeed } from '../../../client/chat/feed.ts';
import { fromSnapshot } from '../../../client/chat/room.ts';
import type { JoinReply, Message, RoomEvent } from '../../../server/protocol.ts';

const YOU = { id: 'p1', name: '小明', kind: 'person' as const };

/** The server's side of one room: what was said, in order. */
class Room {
  readonly events: RoomEvent[] = [];
  joins = 0;

  say(): RoomEvent {
    const seq = this.events.length + 1;
    const message: Message = { id: `m${seq}`, seq, author: YOU, text: `${seq}`, sentAt: '2026-11-23T08:00:00.000Z' };
    const event: RoomEvent = { room: 'me:p1', seq, type: 'message', message };
    this.events.push(event);
    return event;
  }

  join(after: number | undefined): JoinReply {
    this.joins += 1;
    const base = { room: 'me:p1', you: YOU, seq: this.events.length, running: [] };
    if (after !== undefined) return { ...base, events: this.events.slice(after) };
    return { ...base, snapshot: this.snapshot() };
  }

  snapshot() {
    return { messages: this.events.map((event) => (event as { message: Message }).message), members: [], more: false };
  }
}

describe('RoomFeed', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('ends with the server state whatever is lost, repeated or swapped on the way', async () => {
    const fate = fc.constantFrom('arrives', 'is lost', 'comes twice', 'comes late', 'meets a join');
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { maxLength: 30 }), async (fates) => {
        const room = new Room();
        let view: FeedView | undefined;
        const feed = new RoomFeed(
          'me',
          async (after) => room.join(after),
          (next) => {
            view = next;
          },
        );
        await feed.sync();
        const late: RoomEvent[] = [];
        for (const what of fates) {
          const event = room.say();
          if (what === 'meets a join') void feed.sync();
          if (what === 'comes late') late.push(event);
          else if (what !== 'is lost') feed.onRoom(event);
          if (what === 'comes twice') feed.onRoom(event);
        }
        for (const event of late) feed.onRoom(event);
        // One more event that arrives shows every gap before it.
        feed.onRoom(room.say());
        await vi.runAllTimersAsync();
        expect(view!.state).toEqual(fromSnapshot(room.snapshot()));
      }),
      { numRuns: 60 },
    );
  });

  it('answers a burst of gaps with one join', async () => {
    const room = new Room();
    const feed = new RoomFeed(
      'me',
      async (after) => room.join(after),
      () => undefined,
    );
    await feed.sync();
    room.say();
    for (let index = 0; index < 50; index += 1) feed.onRoom(room.say());
    await vi.runAllTimersAsync();
    expect(room.joins).toBe(2);
  });

  it('keeps events that arrive while the join is under way', async () => {
    const room = new Room();
    let answer: (() => void) | undefined;
    let view: FeedView | undefined;
    const feed = new RoomFeed(
      'me',
      (after) => {
        const reply = room.join(after);
        return new Promise((resolve) => {
          answer = () => resolve(reply);
        });
      },
      (next) => {
        view = next;
      },
    );
    const joined = feed.sync();
    await vi.advanceTimersByTimeAsync(0);
    feed.onRoom(room.say());
    answer!();
    await joined;
    expect(view!.state.messages.map((message) => message.id)).toEqual(['m1']);
    expect(room.joins).toBe(1);
  });

  it('starts afresh when the server knows less than before, or somebody else is asking', async () => {
    let room = new Room();
    let view: FeedView | undefined;
    const feed = new RoomFeed(
      'me',
      async (after) => room.join(after),
      (next) => {
        view = next;
      },
    );
    for (let index = 0; index < 5; index += 1) room.say();
    await feed.sync();
    room = new Room();
    room.say();
    await feed.sync();
    expect(view!.state).toEqual(fromSnapshot(room.snapshot()));
    feed.onRoom(room.say());
    expect(view!.state.messages).toHaveLength(2);
  });

  it('ignores other rooms, and passes a refused join on', async () => {
    const room = new Room();
    const feed = new RoomFeed(
      'me',
      async (after) => room.join(after),
      () => undefined,
    );
    await feed.sync();
    feed.onRoom({ ...room.say(), room: 'class:other', seq: 99 });
    await vi.runAllTimersAsync();
    expect(room.joins).toBe(1);
    const refused = new RoomFeed(
      'me',
      () => Promise.reject(new Error('no')),
      () => undefined,
    );
    await expect(refused.sync()).rejects.toThrow('no');
  });
});
