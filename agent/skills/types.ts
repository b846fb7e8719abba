/** The one interface of a skill: it is given a prompt's parts and streams a reply. */
import type { RecalledFact } from '../memory/index.ts';
import type { ChatMessage, Model, RemoteModel, Sampling, XiaoheChatModel } from '../model/index.ts';
import type { Toolbox } from '../tools/index.ts';
import type { Fact, VerseReport } from '../types.ts';

export interface SkillRequest {
  model: Model;
  /** The same model behind LangChain's interface. */
  chat: XiaoheChatModel;
  messages: ChatMessage[];
  /** Who asked: waiting requests are served in turn by person. */
  person: string;
  sampling: Partial<Sampling>;
  /** What a good reply does, where that can be told; absent in free talk. */
  prefer?: (reply: string) => boolean;
  /** A large model from elsewhere that thinks for her, and what it may do in her name. */
  brain?: { remote: RemoteModel; toolbox: Toolbox };
  signal: AbortSignal;
}

export interface ReplyUsage {
  promptTokens: number;
  completionTokens: number;
  firstTokenMs: number;
  /** Time the engine computed, all attempts included. */
  computeMs: number;
}

export type SkillEvent =
  | { type: 'delta'; text: string }
  /** Remembered or learned by a tool on the way. */
  | { type: 'recall'; facts: RecalledFact[] }
  | { type: 'learned'; facts: Fact[] }
  | { type: 'verse'; report: VerseReport }
  | { type: 'end'; stopped: boolean; usage: ReplyUsage };
