/** The one interface of a skill: it is given a prompt's parts and streams a reply. */
import type { ChatMessage, Model, Sampling, XiaoheChatModel } from '../model/index.ts';
import type { VerseReport } from '../types.ts';

export interface SkillRequest {
  model: Model;
  /** The same model behind LangChain's interface. */
  chat: XiaoheChatModel;
  messages: ChatMessage[];
  sampling: Partial<Sampling>;
  /** What a good reply does, where that can be told; absent in free talk. */
  prefer?: (reply: string) => boolean;
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
  | { type: 'verse'; report: VerseReport }
  | { type: 'end'; stopped: boolean; usage: ReplyUsage };
