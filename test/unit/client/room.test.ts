/**
 * The fold that makes a room out of events: order, repetition and gaps must not show. A small model of the server
 * produces rooms; whatever prefix a reader saw as a snapshot, the events after it lead to the same room.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EMPTY_ROOM,
  foldGeneration,
  foldRoom,
  fromJoin,
  fromSnapshot,
  isAhead,
  withHistory,
} from '../../../client/chat/room.ts';
import type { Generation, GenerationEvent, Message, RoomEvent, Snapshot } from '../../../server/protocol.ts';

const ROOM = 'me:p1';
const AT = '2026-11-23T08:00:00.000Z';

function said(id: string, seq: number, text = id): Message {
  return { id, seq, author: { id: 'p1', name: '小明', kind: 'person' }, text, sentAt: AT };
}

function reply(id: string, seq: number, generation: Partial<Generation> = {}, text = ''): Message {
  const base: Generation = {
    id: `g-${id}`,
    status: 'running',
    lastSeq: 0,
    skill: 'chat',
    checkpoint: 's',
    engine: 'wasm',
    recalled: [],
  };
  return {
    id,
    seq,
    author: { id: 'xh', name: '小禾', kind: 'student' },
    text,
    sentAt: AT,
    generation: { ...base, ...generation },
  };
}

type Body<E> = E extends unknown ? Omit<E, 'room' | 'generation' | 'message' | 'seq'> : never;
function spoken(message: string, seq: number, body: Body<GenerationEvent>): GenerationEvent {
  return { room: ROOM, generation: `g-${message}`, message, seq, ...body } as GenerationEvent;
}

/** Plays commands the way a server would, and keeps the snapshot after every event. */
function play(commands: readonly ('say' | 'edit' | 'enter')[]): { events: RoomEvent[]; snapshots: Snapshot[] } {
  const events: RoomEvent[] = [];
  let now: Snapshot = { messages: [], members: [], more: false };
  const snapshots = [now];
  for (const [index, command] of commands.entries()) {
    const seq = index + 1;
    const last = now.messages.at(-1);
    if (command === 'enter') {
      const member = { id: `m${seq % 3}`, name: `名${seq}`, role: 'member' as const };
      events.push({ room: ROOM, seq, type: 'member', member });
      const known = now.members.some((other) => other.id === member.id);
      const members = known
        ? now.members.map((other) => (other.id === member.id ? member : other))
        : [...now.members, member];
      now = { ...now, members };
    } else if (command === 'edit' && last) {
      const message = { ...last, text: `${last.text}!` };
      events.push({ room: ROOM, seq, type: 'update', message });
      now = { ...now, messages: [...now.messages.slice(0, -1), message] };
    } else {
      const message = said(`u${seq}`, seq);
      events.push({ room: ROOM, seq, type: 'message', message });
      now = { ...now, messages: [...now.messages, message] };
    }
    snapshots.push(now);
  }
  return { events, snapshots };
}

describe('foldRoom', () => {
  const commands = fc.array(fc.constantFrom('say', 'edit', 'enter'), { maxLength: 40 });

  it('makes of any snapshot and the events after it what a fresh snapshot says', () => {
    fc.assert(
      fc.property(commands, fc.nat(), (list, cut) => {
        const { events, snapshots } = play(list);
        const at = cut % snapshots.length;
        const state = events.slice(at).reduce(foldRoom, fromSnapshot(snapshots[at]!));
        expect(state).toEqual(fromSnapshot(snapshots.at(-1)!));
      }),
    );
  });

  it('is not disturbed by events it has already seen', () => {
    fc.assert(
      fc.property(commands, (list) => {
        const { events, snapshots } = play(list);
        const twice = events.flatMap((event) => [event, event]);
        expect(twice.reduce(foldRoom, EMPTY_ROOM)).toEqual(fromSnapshot(snapshots.at(-1)!));
      }),
    );
  });

  it('keeps messages in the order of the room, not of arrival', () => {
    const late = [said('c', 3), said('a', 1), said('b', 2)];
    const state = late.reduce(
      (room, message) => foldRoom(room, { room: ROOM, seq: 9, type: 'message', message }),
      EMPTY_ROOM,
    );
    expect(state.messages.map((message) => message.id)).toEqual(['a', 'b', 'c']);
  });

  it('leaves a change of a message that is not loaded to its page of history', () => {
    const state = fromSnapshot({ messages: [said('b', 5)], members: [], more: true });
    expect(foldRoom(state, { room: ROOM, seq: 6, type: 'update', message: said('a', 2) })).toBe(state);
    expect(withHistory(state, [said('a', 2), said('b', 5)]).messages.map((message) => message.seq)).toEqual([2, 5]);
  });

  it('does not let an older view of a running reply take back words already shown', () => {
    const shown = fromSnapshot({ messages: [reply('r', 1, { lastSeq: 7 }, '一二三')], members: [], more: false });
    const stale = reply('r', 1, { lastSeq: 2 }, '一');
    const notice = { code: 'SAFETY_DISTRESS', message: { zh: '请告诉大人', en: 'tell a grown-up' } };
    const state = foldRoom(shown, { room: ROOM, seq: 2, type: 'update', message: { ...stale, notice } });
    expect(state.messages[0]).toMatchObject({ text: '一二三', notice, generation: { lastSeq: 7 } });
  });
});

describe('foldGeneration', () => {
  const start = spoken('r', 1, { type: 'start', skill: 'chat', checkpoint: 's', engine: 'wasm' });
  const open = fromSnapshot({ messages: [said('q', 1), reply('r', 2)], members: [], more: false });

  it('gives the same reply for any pieces, repeated or overlapping with what is known', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1, maxLength: 5 }), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (pieces, repeats) => {
          const events = [start, ...pieces.map((text, index) => spoken('r', index + 2, { type: 'delta', text }))];
          const noisy = events.flatMap((event, index) => [
            event,
            ...repeats.filter((at) => at % events.length <= index).map((at) => events[at % events.length]!),
          ]);
          const state = noisy.reduce(foldGeneration, open);
          expect(state.messages[1]!.text).toBe(pieces.join(''));
          expect(state.messages[1]!.generation!.lastSeq).toBe(events.length);
        },
      ),
    );
  });

  it('refuses to skip: a missing piece is seen as a gap and not papered over', () => {
    const state = foldGeneration(open, start);
    const later = spoken('r', 3, { type: 'delta', text: '后' });
    expect(isAhead(state, later)).toBe(true);
    expect(foldGeneration(state, later)).toBe(state);
    expect(isAhead(state, start)).toBe(false);
    expect(isAhead(EMPTY_ROOM, later)).toBe(true);
  });

  it('drops what was withheld, keeps what was stopped, and says why it failed', () => {
    const writing = [start, spoken('r', 2, { type: 'delta', text: '坏话' })].reduce(foldGeneration, open);
    const end = (event: GenerationEvent) => foldGeneration(writing, event).messages[1]!;
    expect(end(spoken('r', 3, { type: 'end', status: 'withheld' }))).toMatchObject({
      text: '',
      generation: { status: 'withheld' },
    });
    expect(end(spoken('r', 3, { type: 'end', status: 'stopped' }))).toMatchObject({
      text: '坏话',
      generation: { status: 'stopped' },
    });
    const error = { code: 'ENGINE_CRASHED', message: { zh: '坏了', en: 'broken' } };
    expect(end(spoken('r', 3, { type: 'error', error }))).toMatchObject({ generation: { status: 'failed', error } });
  });

  it('touches only the message that grows', () => {
    const state = foldGeneration(open, start);
    expect(state.messages[0]).toBe(open.messages[0]);
  });
});

describe('fromJoin', () => {
  const you = { id: 'p1', name: '小明', kind: 'person' as const };

  it('brings a running reply up to date, whether it came with a snapshot or after events', () => {
    const stored = reply('r', 2);
    const running = [{ message: 'r', text: '一二', generation: { ...stored.generation!, lastSeq: 4 } }];
    const join = { ok: true as const, room: ROOM, you, seq: 2, running };
    const fresh = fromJoin(EMPTY_ROOM, { ...join, snapshot: { messages: [stored], members: [], more: false } });
    const events: RoomEvent[] = [{ room: ROOM, seq: 2, type: 'message', message: stored }];
    const behind = fromJoin(EMPTY_ROOM, { ...join, events });
    expect(fresh).toEqual(behind);
    expect(fresh.messages[0]).toMatchObject({ text: '一二', generation: { lastSeq: 4 } });
    expect(foldGeneration(fresh, spoken('r', 5, { type: 'delta', text: '三' })).messages[0]!.text).toBe('一二三');
  });
});
