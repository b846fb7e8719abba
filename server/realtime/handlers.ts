/** What each client event does. Every one is parsed, counted, and answered; nothing a client sends can end the process. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Socket } from 'socket.io';
import type { z } from 'zod';
import type { Pool } from '../db/index.ts';
import { AppError, codeOf, toUserError } from '../errors.ts';
import { type Replies, readRunning, requestStop } from '../generations/index.ts';
import type { Person } from '../people/index.ts';
import {
  type Author,
  type ClientToServer,
  GenerationRetry,
  GenerationStop,
  type JoinReply,
  MessageSend,
  RoomHistory,
  RoomJoin,
  type ServerToClient,
} from '../protocol.ts';
import {
  canonicalRoom,
  type Publisher,
  readHistory,
  readRoom,
  requireMember,
  type StoredEvent,
  storable,
  storeMessage,
  storeRetry,
} from '../rooms/index.ts';
import type { Limit } from './limits.ts';

export type ChatSocket = Socket<ClientToServer, ServerToClient, Record<string, never>, { person: Person }>;

export interface HandlerParts {
  pool: Pool;
  process: string;
  publisher: Publisher;
  replies: Replies;
  log: Logger;
  limits: { messages: Limit; reads: Limit; controls: Limit };
  /** Asks the other processes to stop a reply, too. */
  stopElsewhere: (generation: string) => void;
}

/** Rounds of catching up in one join, while a busy room keeps moving. */
const JOIN_ROUNDS = 5;

export function handle(socket: ChatSocket, parts: HandlerParts): void {
  const { pool, publisher, replies, limits } = parts;
  const { person } = socket.data;
  const you: Author = { ...person, kind: 'person' };

  on('room.join', RoomJoin, limits.reads, async ({ room, after }) => {
    const name = canonicalRoom(room, person.id);
    await requireMember(pool, name, person.id);
    return await join(name, after);
  });

  on('room.history', RoomHistory, limits.reads, async ({ room, before }) => ({
    messages: await readHistory(pool, canonicalRoom(room, person.id), person.id, before),
  }));

  on('message.send', MessageSend, limits.messages, async ({ room, id, text, skill }) => {
    const name = canonicalRoom(room, person.id);
    const clean = storable(text).trim();
    if (clean === '') throw new AppError('MESSAGE_EMPTY');
    replies.admit(name);
    const reply = { generation: randomUUID(), reply: randomUUID(), process: parts.process };
    const stored = await publisher.write(name, async () => {
      const message = { id, room: name, author: person, text: clean, ...(skill && { skill }) };
      const { seq, fresh } = await storeMessage(pool, message, reply);
      const events: StoredEvent[] = [
        { seq, type: 'message', message: id },
        { seq: seq + 1, type: 'message', message: reply.reply },
      ];
      return { result: { seq, fresh }, events: fresh ? events : [] };
    });
    // Only now, so that nobody hears of the reply before they have its message.
    if (stored.fresh)
      replies.start({ id: reply.generation, room: name, message: id, reply: reply.reply }, skill ?? 'chat');
    return { seq: stored.seq };
  });

  on('generation.stop', GenerationStop, limits.controls, async ({ generation }) => {
    await requestStop(pool, generation, person.id);
    replies.stop(generation);
    parts.stopElsewhere(generation);
    return {};
  });

  on('generation.retry', GenerationRetry, limits.controls, async ({ room, message }) => {
    const name = canonicalRoom(room, person.id);
    await requireMember(pool, name, person.id);
    replies.admit(name);
    const reply = { generation: randomUUID(), reply: randomUUID(), process: parts.process };
    const stored = await publisher.write(name, async () => {
      const result = await storeRetry(pool, name, message, reply);
      const events: StoredEvent[] = result.seq ? [{ seq: result.seq, type: 'message', message: reply.reply }] : [];
      return { result, events };
    });
    if (stored.seq)
      replies.start({ id: stored.generation, room: name, message, reply: reply.reply }, stored.skill ?? 'chat');
    return { generation: stored.generation };
  });

  socket.onAny((event: string, ...args: unknown[]) => {
    const ack = args.at(-1);
    if (socket.listenerCount(event) === 0 && typeof ack === 'function')
      ack({ ok: false, error: toUserError(new AppError('BAD_FRAME')) });
  });

  /** Parses, counts, acts, answers. A frame without an acknowledgement function has nobody to answer and is dropped. */
  function on<S extends z.ZodType, R extends object>(
    event: keyof ClientToServer,
    schema: S,
    limit: Limit,
    act: (payload: z.output<S>) => Promise<R>,
  ): void {
    const listener = async (...args: unknown[]) => {
      const ack = args.at(-1);
      if (typeof ack !== 'function') return;
      try {
        await limit.take(person.id);
        if (args.length > 2) throw new AppError('BAD_FRAME');
        ack({ ok: true, ...(await act(schema.parse(args.length === 2 ? args[0] : undefined))) });
      } catch (error) {
        const code = codeOf(error);
        if (code === 'INTERNAL') parts.log.error({ err: error, event }, 'event failed');
        else parts.log.debug({ code, event }, 'event refused');
        ack({ ok: false, error: toUserError(error) });
      }
    };
    socket.on(event, listener as never);
  }

  /**
   * Subscribes first and reads after, so that nothing falls between. Events that went out to this socket meanwhile are
   * inside the answer: if one was newer than what was read, it is read again.
   */
  async function join(room: string, after: number | undefined): Promise<JoinReply> {
    let newest = 0;
    const newestOf = new Map<string, number>();
    const watch = (event: string, payload: { room?: string; seq?: number; generation?: string }) => {
      if (payload?.room !== room || payload.seq === undefined) return;
      if (event === 'room.event') newest = Math.max(newest, payload.seq);
      if (event === 'generation.event' && payload.generation) newestOf.set(payload.generation, payload.seq);
    };
    socket.onAnyOutgoing(watch);
    try {
      await socket.join(room);
      for (let round = 1; ; round++) {
        const running = await readRunning(pool, room);
        const state = await readRoom(pool, room, person.id, after);
        const missed =
          newest > state.seq ||
          running.some(({ state: { generation } }) => (newestOf.get(generation.id) ?? 0) > generation.lastSeq);
        if (missed && round < JOIN_ROUNDS) continue;
        return {
          room,
          you,
          ...state,
          running: running.map(({ address, state: { text, generation } }) => ({
            message: address.reply,
            text,
            generation,
          })),
        };
      }
    } finally {
      socket.offAnyOutgoing(watch);
    }
  }
}
