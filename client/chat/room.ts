/**
 * What a reader knows of a room, as a value: snapshot in, events folded over it, the next value out. Pure: folding a
 * snapshot and the events after it gives the same value as a later snapshot, however often an event is repeated.
 * Sequence numbers, gaps and joining again are `feed.ts`'s business.
 */
import type {
  Generation,
  GenerationEvent,
  JoinReply,
  Member,
  Message,
  RoomEvent,
  Snapshot,
} from '../../server/protocol.ts';

export interface RoomState {
  /** Oldest first, by the message's own sequence number. */
  readonly messages: readonly Message[];
  readonly members: readonly Member[];
  /** Older messages exist on the server. */
  readonly more: boolean;
}

export const EMPTY_ROOM: RoomState = { messages: [], members: [], more: false };

export function fromSnapshot(snapshot: Snapshot): RoomState {
  return {
    messages: [...snapshot.messages].sort((a, b) => a.seq - b.seq),
    members: [...snapshot.members],
    more: snapshot.more,
  };
}

export function foldRoom(state: RoomState, event: RoomEvent): RoomState {
  if (event.type === 'member') {
    return { ...state, members: upsert(state.members, event.member, (member) => member.id === event.member.id) };
  }
  return withMessage(state, event.message);
}

export function foldGeneration(state: RoomState, event: GenerationEvent): RoomState {
  const index = findLast(state.messages, event.message);
  const message = state.messages[index];
  if (!message || !isNext(message.generation, event)) return state;
  const next = foldReply(message, event);
  return next === message ? state : { ...state, messages: state.messages.with(index, next) };
}

/** True when `event` cannot be folded because something before it never arrived. */
export function isAhead(state: RoomState, event: GenerationEvent): boolean {
  const message = state.messages[findLast(state.messages, event.message)];
  if (!message) return true;
  const known = message.generation;
  if (!known || known.id !== event.generation) return event.type !== 'start';
  return known.status === 'running' && event.seq > known.lastSeq + 1;
}

/** The answer to `room.join` applied to what was known before. */
export function fromJoin(before: RoomState, reply: JoinReply): RoomState {
  let state = 'snapshot' in reply ? fromSnapshot(reply.snapshot) : reply.events.reduce(foldRoom, before);
  for (const { message: id, text, generation } of reply.running) {
    const index = findLast(state.messages, id);
    const message = state.messages[index];
    if (!message || isOlder(generation, message.generation)) continue;
    state = { ...state, messages: state.messages.with(index, { ...message, text, generation }) };
  }
  return state;
}

/** A page of older messages put in front; an empty page means there are no more. */
export function withHistory(state: RoomState, older: readonly Message[]): RoomState {
  const known = new Set(state.messages.map((message) => message.id));
  const messages = [...older.filter((message) => !known.has(message.id)), ...state.messages];
  return { ...state, messages: messages.sort((a, b) => a.seq - b.seq), more: older.length > 0 };
}

function withMessage(state: RoomState, message: Message): RoomState {
  const index = findLast(state.messages, message.id);
  const stored = state.messages[index];
  if (stored) {
    // A notice may arrive while a reply runs, carrying the text as it was when the notice was written.
    const stale = isOlder(message.generation, stored.generation);
    const next =
      stale && stored.generation ? { ...message, text: stored.text, generation: stored.generation } : message;
    return { ...state, messages: state.messages.with(index, next) };
  }
  const first = state.messages[0];
  // Outside the loaded window: it will come with its page of history.
  if (state.more && first && message.seq < first.seq) return state;
  const at = state.messages.findLastIndex((other) => other.seq < message.seq) + 1;
  return { ...state, messages: state.messages.toSpliced(at, 0, message) };
}

/** Whether `a` tells less than `b` of the same reply. */
function isOlder(a: Generation | undefined, b: Generation | undefined): boolean {
  if (!a || !b || a.id !== b.id) return false;
  return a.status === 'running' && (b.status !== 'running' || b.lastSeq > a.lastSeq);
}

function isNext(known: Generation | undefined, event: GenerationEvent): boolean {
  if (!known || known.id !== event.generation) return event.type === 'start';
  return known.status === 'running' && event.seq === known.lastSeq + 1;
}

function foldReply(message: Message, event: GenerationEvent): Message {
  if (event.type === 'start') {
    const { generation: id, seq: lastSeq, skill, checkpoint, engine } = event;
    const before = message.generation?.id === id ? message.generation : undefined;
    const generation: Generation = {
      recalled: [],
      ...before,
      id,
      status: 'running',
      lastSeq,
      skill,
      checkpoint,
      engine,
    };
    return { ...message, text: before ? message.text : '', generation };
  }
  if (!message.generation) return message;
  const generation: Generation = { ...message.generation, lastSeq: event.seq };
  switch (event.type) {
    case 'recall':
      return { ...message, generation: { ...generation, recalled: event.facts } };
    case 'delta':
      return { ...message, text: message.text + event.text, generation };
    case 'verse':
      return { ...message, generation: { ...generation, verse: event.report } };
    case 'end': {
      const ended: Generation = { ...generation, status: event.status };
      if (event.usage) ended.usage = event.usage;
      // What the safety filter withheld must not stay on screen.
      return { ...message, text: event.status === 'withheld' ? '' : message.text, generation: ended };
    }
    case 'error':
      return { ...message, generation: { ...generation, status: 'failed', error: event.error } };
  }
}

/** Replies run at the end of a room, so looking from the end finds them at once. */
function findLast(messages: readonly Message[], id: string): number {
  return messages.findLastIndex((message) => message.id === id);
}

function upsert<T>(list: readonly T[], item: T, same: (other: T) => boolean): T[] {
  const index = list.findIndex(same);
  return index < 0 ? [...list, item] : list.with(index, item);
}
