/** One open room as the components see it: its messages, what is still in the outbox, and what can be done. */
import type { Generation, Message, Skill, UserError } from '../../server/protocol.ts';
import { i18n } from '../i18n/index.ts';
import { announcer } from '../ui/index.ts';
import { UNREACHABLE } from './api.ts';
import { type FeedView, RoomFeed } from './feed.ts';
import { Narrator } from './narrator.ts';
import type { Outbox, Pending } from './outbox.ts';
import { EMPTY_ROOM } from './room.ts';
import type { Link } from './socket.ts';

/** Thrown inside `join` when the server answered, but with a refusal. */
class Refused extends Error {
  readonly error: UserError;
  constructor(error: UserError) {
    super(error.code);
    this.error = error;
  }
}

export class RoomSession {
  readonly room: string;
  readonly feed: RoomFeed;
  view: FeedView = $state.raw({ state: EMPTY_ROOM, you: undefined, joined: false });
  /** Why the room could not be joined, or why the last thing asked for was refused. */
  error: UserError | undefined = $state.raw();
  loadingHistory = $state(false);
  readonly #link: Link;
  readonly #outbox: Outbox;
  readonly #narrator = new Narrator(({ author }, text, first) => {
    const speaker = author.kind === 'student' ? i18n.t.chat.xiaoheSays : i18n.t.chat.saidBy(author.name);
    announcer.say(first ? `${speaker}${text}` : text);
  });

  constructor(room: string, link: Link, outbox: Outbox) {
    this.room = room;
    this.#link = link;
    this.#outbox = outbox;
    const join = async (after: number | undefined) => {
      const reply = await link.call('room.join', after === undefined ? { room } : { room, after });
      if (!reply.ok) throw new Refused(reply.error);
      return reply;
    };
    this.feed = new RoomFeed(room, join, (view) => this.#changed(view));
  }

  /** The reply being written now, if any; later ones wait behind it. */
  readonly running: Generation | undefined = $derived(
    this.view.state.messages.find((message) => message.generation?.status === 'running')?.generation,
  );

  async join(): Promise<void> {
    try {
      await this.feed.sync();
      this.error = undefined;
    } catch (cause) {
      // Without an answer the connection is gone, and the next one joins again.
      if (!(cause instanceof Refused)) return;
      this.error = cause.error;
      if (cause.error.retryAfterMs !== undefined) setTimeout(() => void this.join(), cause.error.retryAfterMs);
    }
  }

  send(text: string, skill: Skill | undefined): Pending {
    // What went wrong before is history once the person goes on.
    if (this.view.joined) this.error = undefined;
    return this.#outbox.add(this.room, text, skill);
  }

  discard(pending: Pending): void {
    this.#outbox.discard(pending.id);
  }

  async stop(): Promise<void> {
    if (this.running) await this.#ask(this.#link.call('generation.stop', { generation: this.running.id }));
  }

  /** Asks for a new answer in place of a failed or stopped one. */
  async retry(reply: Message): Promise<void> {
    await this.#ask(this.#link.call('generation.retry', { room: this.room, message: reply.replyTo ?? reply.id }));
  }

  async loadOlder(): Promise<void> {
    const first = this.view.state.messages[0];
    if (!first || this.loadingHistory || !this.view.state.more) return;
    this.loadingHistory = true;
    const reply = await this.#ask(this.#link.call('room.history', { room: this.room, before: first.seq }));
    if (reply?.ok) this.feed.addHistory(reply.messages);
    this.loadingHistory = false;
  }

  async #ask<T extends { ok: true } | { ok: false; error: UserError }>(asked: Promise<T>): Promise<T | undefined> {
    const reply = await asked.catch(() => undefined);
    this.error = reply === undefined ? UNREACHABLE : reply.ok ? undefined : reply.error;
    return reply;
  }

  #changed(view: FeedView): void {
    this.view = view;
    const waiting = this.#outbox.pending.filter((pending) => pending.room === this.room);
    for (const pending of waiting) {
      if (view.state.messages.some((message) => message.id === pending.id)) this.#outbox.arrived(pending.id);
    }
    this.#narrator.read(view.state.messages, view.you?.id);
  }
}
