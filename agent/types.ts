/**
 * What the server hands to the student's mind for one turn, and what comes back. The mind knows nothing of sockets; it
 * reads and writes its own tables (facts, recalls, turns) through the pool it is given.
 */
import type pg from 'pg';
import type { Sampling } from './model/index.ts';

/** The part of a `pg.Pool` the mind uses. */
export type Database = Pick<pg.Pool, 'query' | 'connect'>;

export type SkillName = 'chat' | 'couplet' | 'poem';

export interface Turn {
  /** The reply's id; recalls and the turn's progress row refer to it. */
  generation: string;
  /** The memory scope: the canonical room name (`me:<person>`, `class:<id>`). Facts never cross it. */
  scope: string;
  speaker: { id: string; name: string };
  /** True in shared rooms, where several people talk and each line is prefixed with its speaker. */
  shared: boolean;
  message: { id: string; text: string; sentAt: Date };
  /** What the person explicitly asked for, if the page offered a choice. */
  skill?: SkillName;
  /** Earlier messages of the room, oldest first, without the current one. */
  history: { role: 'person' | 'student'; name: string; text: string }[];
  signal: AbortSignal;
  /** Overrides for tests and the API. */
  sampling?: Partial<Sampling>;
}

export interface Fact {
  id: string;
  /** The statement as it is recalled, e.g. `我家的猫叫豆豆`. */
  text: string;
  teacher: string;
  saidAt: Date;
  message: string;
}

export interface VerseReport {
  upper: { char: string; tone: 'level' | 'oblique' | 'either' | 'unknown' }[];
  lower: { char: string; tone: 'level' | 'oblique' | 'either' | 'unknown' }[];
  rules: { id: 'length' | 'ending' | 'opposed' | 'repetition' | 'distinct'; ok: boolean }[];
}

export interface Energy {
  joules: number;
  gco2e: number;
  /** True when read from hardware counters, false when estimated from computing time. */
  measured: boolean;
}

/** A safety finding. `code` is worded for people by the server's error table. */
export type SafetyCode = 'SAFETY_DISTRESS' | 'SAFETY_PRIVATE_DATA' | 'SAFETY_UNSUITABLE';

export type TurnEvent =
  | { type: 'learned'; facts: Fact[] }
  | { type: 'notice'; code: SafetyCode }
  | { type: 'start'; skill: SkillName }
  | { type: 'recall'; facts: Fact[] }
  | { type: 'delta'; text: string }
  | { type: 'verse'; report: VerseReport }
  | {
      type: 'end';
      /** `withheld`: the outgoing filter stopped the reply; the page must drop what it showed. */
      status: 'done' | 'stopped' | 'withheld';
      text: string;
      usage: { promptTokens: number; completionTokens: number; firstTokenMs: number; totalMs: number };
      energy: Energy;
    };

/**
 * Xiaohe's mind. Events come in the order of `TurnEvent`; a remote brain may learn and recall again while it speaks, and
 * each such event names all facts so far. What breaks is thrown as `ModelError` or a database error.
 */
export interface Student {
  readonly age: number;
  turn(turn: Turn): AsyncGenerator<TurnEvent, void, undefined>;
}
