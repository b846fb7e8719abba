/**
 * What a person typed, kept until the server has it. Every entry is stored under its own key before the first attempt,
 * so neither a reload nor a second tab can lose one; the server stores a repeated id once, so resending is always safe.
 *
 * Acknowledgements run in parallel: waiting for each before sending the next is forty times slower on 50 messages.
 */
import type { Ack, Skill, UserError } from '../../server/protocol.ts';

export interface Pending {
  readonly id: string;
  readonly room: string;
  readonly text: string;
  readonly skill?: Skill;
  readonly typedAt: string;
  /** `sent`: acknowledged, waiting to appear in the room; `refused`: the server will never take it as it is. */
  readonly state: 'queued' | 'sending' | 'sent' | 'refused';
  readonly error?: UserError;
}

/** The part of `localStorage` used here. */
export interface KeyValueStore {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface OutboxOptions {
  store: KeyValueStore;
  /** Rejects when no answer came; the entry is then tried again. */
  send: (pending: Pending) => Promise<Ack<{ seq: number }>>;
  changed: (pending: readonly Pending[]) => void;
  newId: () => string;
  now: () => number;
  after: (ms: number, run: () => void) => void;
}

const KEY = 'xiaohe.outbox.';
/** Enough to fill any round trip; a longer queue would only wait in the server's rate limiter. */
const PARALLEL = 16;
/** First wait after an unanswered attempt, doubled each time: ms. */
const BACKOFF_FIRST_MS = 500;
/** A person watching a dead connection should not wait longer than this for the next attempt: ms. */
const BACKOFF_MOST_MS = 15_000;

export class Outbox {
  readonly #options: OutboxOptions;
  #pending: readonly Pending[];
  #online = false;
  #attempts = 0;
  /** No sending before this time: the server asked for patience, or did not answer. */
  #quietUntil = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#pending = readStored(options.store);
  }

  get pending(): readonly Pending[] {
    return this.#pending;
  }

  add(room: string, text: string, skill?: Skill): Pending {
    const typedAt = new Date(this.#options.now()).toISOString();
    const base = { id: this.#options.newId(), room, text, typedAt, state: 'queued' as const };
    const pending: Pending = skill ? { ...base, skill } : base;
    this.#store(pending);
    this.#set([...this.#pending, pending]);
    this.#flush();
    return pending;
  }

  /** The connection is up: everything unanswered goes out again. */
  connected(): void {
    this.#online = true;
    this.#quietUntil = 0;
    this.#attempts = 0;
    this.#requeue();
    this.#flush();
  }

  disconnected(): void {
    this.#online = false;
    this.#requeue();
  }

  /** The message is in the room: nothing left to do for it. */
  arrived(id: string): void {
    this.discard(id);
  }

  discard(id: string): void {
    this.#options.store.removeItem(KEY + id);
    if (this.#pending.some((entry) => entry.id === id)) this.#set(this.#pending.filter((entry) => entry.id !== id));
  }

  #flush(): void {
    if (!this.#online || this.#options.now() < this.#quietUntil) return;
    const free = PARALLEL - this.#pending.filter((entry) => entry.state === 'sending').length;
    const next = this.#pending.filter((entry) => entry.state === 'queued').slice(0, Math.max(0, free));
    for (const entry of next) this.#replace(entry.id, { state: 'sending' });
    for (const entry of next) void this.#send(entry);
  }

  async #send(entry: Pending): Promise<void> {
    try {
      this.#answered(entry, await this.#options.send(entry));
    } catch {
      if (this.#current(entry.id)?.state !== 'sending') return;
      this.#replace(entry.id, { state: 'queued' });
      this.#attempts += 1;
      this.#wait(Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** (this.#attempts - 1)));
    }
  }

  #answered(entry: Pending, ack: Ack<{ seq: number }>): void {
    if (!this.#current(entry.id)) return;
    if (ack.ok) {
      this.#attempts = 0;
      this.#options.store.removeItem(KEY + entry.id);
      this.#replace(entry.id, { state: 'sent' });
    } else if (ack.error.retryAfterMs !== undefined) {
      this.#replace(entry.id, { state: 'queued' });
      this.#wait(ack.error.retryAfterMs);
    } else {
      const refused = { ...entry, state: 'refused' as const, error: ack.error };
      this.#store(refused);
      this.#replace(entry.id, refused);
    }
    this.#flush();
  }

  #wait(ms: number): void {
    const until = this.#options.now() + ms;
    if (until <= this.#quietUntil) return;
    this.#quietUntil = until;
    this.#options.after(ms, () => this.#flush());
  }

  #requeue(): void {
    if (!this.#pending.some((entry) => entry.state === 'sending')) return;
    this.#set(this.#pending.map((entry) => (entry.state === 'sending' ? { ...entry, state: 'queued' } : entry)));
  }

  #current(id: string): Pending | undefined {
    return this.#pending.find((entry) => entry.id === id);
  }

  #replace(id: string, change: Partial<Pending>): void {
    this.#set(this.#pending.map((entry) => (entry.id === id ? { ...entry, ...change } : entry)));
  }

  #set(pending: readonly Pending[]): void {
    this.#pending = pending;
    this.#options.changed(pending);
  }

  #store(pending: Pending): void {
    try {
      this.#options.store.setItem(KEY + pending.id, JSON.stringify(pending));
    } catch {
      // Storage full or forbidden: the entry still lives in this page and is sent as usual.
    }
  }
}

function readStored(store: KeyValueStore): Pending[] {
  const found: Pending[] = [];
  for (let index = 0; index < store.length; index += 1) {
    const key = store.key(index);
    if (!key?.startsWith(KEY)) continue;
    const pending = parse(store.getItem(key));
    if (pending) found.push(pending.state === 'refused' ? pending : { ...pending, state: 'queued' });
  }
  return found.sort((a, b) => (a.typedAt < b.typedAt ? -1 : 1));
}

function parse(stored: string | null): Pending | undefined {
  try {
    const value = JSON.parse(stored ?? '');
    return typeof value?.id === 'string' && typeof value.room === 'string' && typeof value.text === 'string'
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}
