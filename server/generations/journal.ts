/**
 * One running reply's event log. Text is gathered into batches, numbered, appended to the database, then broadcast. When
 * the database is away the reply goes on being shown and its events wait here to be appended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Pool } from '../db/index.ts';
import { passesByItself } from '../errors.ts';
import { type Broadcast, storable } from '../rooms/index.ts';
import { foldReply, type NumberedEvent, openReply, type ReplyEvent, type ReplyState } from './fold.ts';
import { persist } from './persist.ts';
import { appendEvents, type ReplyAddress } from './store.ts';

/** Readers see about eight updates a second; one event a token would cost the database and a full room far more. */
const BATCH_MS = 120;
/** An append slower than this no longer holds back what people see. */
const APPEND_PATIENCE_MS = 250;
const RETRY_MS = 500;

export interface Journal {
  readonly state: ReplyState;
  /** Text of the reply; the first is passed on at once. */
  text(text: string): void;
  put(event: ReplyEvent): void;
  /** Appends whatever is still missing, waiting for the database if need be. Call before ending the reply. */
  save(): Promise<void>;
}

export function openJournal(
  address: ReplyAddress,
  skill: ReplyState['generation']['skill'],
  to: { pool: Pool; broadcast: Broadcast; log: Logger; onFirstText: () => void },
): Journal {
  let state = openReply(address.id, skill);
  let gathered = '';
  let spoken = false;
  let timer: NodeJS.Timeout | undefined;
  const missing: NumberedEvent[] = [];
  let appending: Promise<void> | undefined;
  let outgoing = Promise.resolve();

  function flushText(): void {
    clearTimeout(timer);
    timer = undefined;
    if (gathered === '') return;
    const text = storable(gathered);
    gathered = '';
    number({ type: 'delta', text });
  }

  function number(event: ReplyEvent): void {
    const numbered = { seq: state.generation.lastSeq + 1, event };
    state = foldReply(state, numbered);
    missing.push(numbered);
    const appended = append();
    const { id: generation, room, reply: message } = address;
    outgoing = outgoing.then(async () => {
      await Promise.race([appended, sleep(APPEND_PATIENCE_MS, undefined, { ref: false })]);
      to.broadcast.generation({ room, generation, message, seq: numbered.seq, ...event });
    });
  }

  /** One append at a time; what comes meanwhile goes with the next. Never rejects. */
  function append(): Promise<void> {
    appending = (appending ?? Promise.resolve()).then(appendMissing).catch((error: unknown) => {
      if (passesByItself(error)) setTimeout(() => void append(), RETRY_MS).unref();
      else to.log.error({ err: error, generation: address.id }, 'reply events were not stored');
    });
    return appending;
  }

  async function appendMissing(): Promise<void> {
    const batch = [...missing];
    if (batch.length === 0) return;
    await appendEvents(to.pool, address.id, batch);
    missing.splice(0, batch.length);
  }

  return {
    get state() {
      return state;
    },
    text(text) {
      if (text === '') return;
      gathered += text;
      if (!spoken) {
        spoken = true;
        to.onFirstText();
        flushText();
      }
      timer ??= setTimeout(flushText, BATCH_MS);
    },
    put(event) {
      flushText();
      number(event);
    },
    async save() {
      flushText();
      await appending;
      await persist(appendMissing);
      await outgoing;
    },
  };
}
