/**
 * The wire between browser and server: every socket event, its payload and its limits. The one server file the client
 * imports. No behaviour lives here, only shapes; the server parses everything that comes in with these schemas.
 *
 * Client → server events are acknowledged with `Ack<T>`; nothing is sent without an answer. Server → client events carry
 * a sequence number of their room or generation, so a reader can tell a gap from silence and ask again with `room.join`.
 */
import { z } from 'zod';

/** Sizes both sides agree on. Text is counted in UTF-16 code units, as `String.length` does. */
export const LIMITS = {
  /** Longest message a person may send; a long school essay fits, a pasted book does not. */
  messageChars: 4_000,
  nameChars: 24,
  /** Messages in a room snapshot; older ones are fetched with `room.history`. */
  snapshotMessages: 100,
  /** Room events replayed to a reader that fell behind; beyond this a snapshot is cheaper. */
  replayEvents: 500,
  /** Largest frame accepted from a socket, bytes. A message far over `messageChars` must still get a coded answer. */
  frameBytes: 1 << 20,
} as const;

const uuid = z.uuid();
/** `me` is the visitor's own room; class and studio rooms are addressed by id. */
export const RoomName = z.union([z.literal('me'), z.string().regex(/^(class|studio):[0-9a-f-]{36}$/)]);
export const Skill = z.enum(['chat', 'couplet', 'poem']);
export type Skill = z.infer<typeof Skill>;

// ───────────────────────────── client → server ─────────────────────────────

export const RoomJoin = z.strictObject({ room: RoomName, after: z.int().nonnegative().optional() });
export const RoomHistory = z.strictObject({ room: RoomName, before: z.int().positive() });
export const MessageSend = z.strictObject({
  room: RoomName,
  /** Made by the client and kept in its outbox: sending the same id twice stores one message. */
  id: uuid,
  text: z.string().trim().min(1).max(LIMITS.messageChars),
  skill: Skill.optional(),
});
export const GenerationStop = z.strictObject({ generation: uuid });
/** Ask for a new reply to a message whose last reply failed or was stopped. */
export const GenerationRetry = z.strictObject({ room: RoomName, message: uuid });

export interface ClientToServer {
  'room.join': (payload: z.input<typeof RoomJoin>, ack: (reply: Ack<JoinReply>) => void) => void;
  'room.history': (payload: z.input<typeof RoomHistory>, ack: (reply: Ack<{ messages: Message[] }>) => void) => void;
  'message.send': (payload: z.input<typeof MessageSend>, ack: (reply: Ack<{ seq: number }>) => void) => void;
  'generation.stop': (payload: z.input<typeof GenerationStop>, ack: (reply: Ack<object>) => void) => void;
  'generation.retry': (
    payload: z.input<typeof GenerationRetry>,
    ack: (reply: Ack<{ generation: string }>) => void,
  ) => void;
}

// ───────────────────────────── server → client ─────────────────────────────

/** What a person reads when something goes wrong: what happened and what to do next, in both languages. */
export interface UserError {
  code: string;
  message: { zh: string; en: string };
  /** Milliseconds after which trying again makes sense. */
  retryAfterMs?: number;
}
export type Ack<T> = ({ ok: true } & T) | { ok: false; error: UserError };

export interface Author {
  id: string;
  name: string;
  kind: 'person' | 'student';
}

/** A remembered fact as the page shows it: who taught it, when, and in which message. */
export interface FactChip {
  id: string;
  text: string;
  teacher: string;
  saidAt: string;
  message: string;
}

/** How a verse keeps its rules: one row per character, made by the same checker that constrains decoding. */
export interface VerseReport {
  upper: VerseChar[];
  lower: VerseChar[];
  rules: { id: 'length' | 'ending' | 'opposed' | 'repetition' | 'distinct'; ok: boolean }[];
}
export interface VerseChar {
  char: string;
  /** 平, 仄, both readings, or unknown. */
  tone: 'level' | 'oblique' | 'either' | 'unknown';
}

/** What one reply cost. Energy is an estimate unless `measured`. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
  firstTokenMs: number;
  totalMs: number;
  energyJ: number;
  gco2e: number;
  measured: boolean;
}

export interface Generation {
  id: string;
  /** `withheld`: the safety filter stopped the reply; `failed`: something broke, `error` says what. */
  status: 'running' | 'done' | 'stopped' | 'failed' | 'withheld';
  /** Sequence of the last generation event folded into this view. */
  lastSeq: number;
  skill: Skill;
  checkpoint: string;
  engine: string;
  recalled: FactChip[];
  verse?: VerseReport;
  usage?: Usage;
  error?: UserError;
}

export interface Message {
  id: string;
  seq: number;
  author: Author;
  text: string;
  sentAt: string;
  /** For her replies: the message answered, and how the reply came to be. Always AI-generated, always labelled. */
  replyTo?: string;
  generation?: Generation;
  /** Facts she learned from this message. */
  learned?: FactChip[];
  /** A safety notice beside this message, for example whom to talk to. Never part of her reply. */
  notice?: UserError;
}

export interface Member {
  id: string;
  name: string;
  role: 'owner' | 'member';
}

/** Folding a snapshot and the events after it gives the same state as a later snapshot. */
export type RoomEvent =
  | { room: string; seq: number; type: 'message'; message: Message }
  /** A message changed: her reply ended, facts were learned from it, a notice was added. Replaces the one stored. */
  | { room: string; seq: number; type: 'update'; message: Message }
  | { room: string; seq: number; type: 'member'; member: Member };

export type GenerationEvent = { room: string; generation: string; message: string; seq: number } & (
  | { type: 'start'; skill: Skill; checkpoint: string; engine: string }
  | { type: 'recall'; facts: FactChip[] }
  | { type: 'delta'; text: string }
  | { type: 'verse'; report: VerseReport }
  | { type: 'end'; status: 'done' | 'stopped' | 'withheld'; usage?: Usage }
  | { type: 'error'; error: UserError }
);

export interface Snapshot {
  messages: Message[];
  members: Member[];
  /** True when older messages exist; fetch them with `room.history`. */
  more: boolean;
}

/** `events` when the reader is a little behind, `snapshot` otherwise. Running replies are always brought up to date. */
export type JoinReply = {
  /** The room's canonical name; `me` resolves to `me:<person>`, which later events carry. */
  room: string;
  you: Author;
  seq: number;
  /** Replies now running, with all text so far. */
  running: { message: string; text: string; generation: Generation }[];
} & ({ snapshot: Snapshot } | { events: RoomEvent[] });

export interface ServerToClient {
  'room.event': (event: RoomEvent) => void;
  'generation.event': (event: GenerationEvent) => void;
}

// ───────────────────────────── HTTP ─────────────────────────────

/** `POST /api/session {name?}` → who you are; the cookie is HttpOnly. */
export const SessionRequest = z.strictObject({ name: z.string().trim().min(1).max(LIMITS.nameChars).optional() });
/** `POST /api/rooms {kind, title?}` opens a shared room; `POST /api/rooms/join {code}` enters one by its join code. */
export const RoomOpen = z.strictObject({
  kind: z.enum(['class', 'studio']),
  title: z.string().trim().max(60).optional(),
});
export const RoomEnter = z.strictObject({
  code: z
    .string()
    .trim()
    .regex(/^\d{6}$/),
});
export interface RoomInfo {
  room: string;
  title: string;
  code: string;
}

/** `GET /health`. `ready` is false while the model loads or the database is away; `reason` then says why. */
export interface Health {
  live: true;
  ready: boolean;
  reason?: UserError;
  version: string;
  database: { kind: 'embedded' | 'postgres'; ok: boolean };
  model?: {
    checkpoint: string;
    engine: string;
    /** What really computes, for example `wasm (1 thread, fp32)`. */
    device: string;
    gpu: boolean;
    parameters: number;
    activeParameters: number;
    context: number;
    /** The checkpoint's curriculum age in years. */
    age: number;
  };
}
