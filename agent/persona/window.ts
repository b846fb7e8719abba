/**
 * The part of a conversation that fits the model: the system line, the latest exchanges, the message to answer. Pure but
 * for LangChain's trimming.
 */
import { AIMessage, type BaseMessage, HumanMessage, SystemMessage, trimMessages } from 'langchain';
import type { ChatMessage } from '../model/index.ts';
import { type Language, languageOf } from './prompt.ts';

/** She was trained on dialogues of one to six exchanges; beyond that she loses the thread. */
const EXCHANGES = 6;
/** Tokens kept free for her reply and the template's own tokens. */
const RESERVED = 288;
/** Tokens a prompt may have at most. Six short exchanges need about 300; every 100 more cost a quarter second of prefill on one core. */
const WINDOW_TOKENS = 448;
/** How far back a prompt reaches. */
export interface Reach {
  exchanges: number;
  tokens: number;
}
const OWN_REACH: Reach = { exchanges: EXCHANGES, tokens: WINDOW_TOKENS };
/** A large model from elsewhere follows a long conversation; beyond this it only costs. */
export const GUEST_REACH: Reach = { exchanges: 20, tokens: 4_000 };
/** Tokens of role marks around each message. */
const MARKS = 5;

export interface Said {
  role: 'person' | 'student';
  text: string;
}

/**
 * An upper estimate, because the tokenizer lives in the model's worker: a Han character is exactly one token, other
 * writing at worst one token a byte for rare scripts and about two characters a token for Latin letters.
 */
export function estimateTokens(text: string): number {
  let tokens = 0;
  for (const char of text) {
    if (/\p{Script=Han}/u.test(char)) tokens += 1;
    else if (char.charCodeAt(0) < 128) tokens += 0.5;
    else tokens += Buffer.byteLength(char);
  }
  return Math.ceil(tokens);
}

/** Neighbouring messages of one side become one, as in her training: she answers the room, not each line. */
export function merge(said: readonly Said[]): Said[] {
  const merged: Said[] = [];
  for (const { role, text } of said) {
    if (text.trim() === '') continue;
    const before = merged.at(-1);
    if (before?.role === role) before.text += `\n${text}`;
    else merged.push({ role, text });
  }
  return merged;
}

/**
 * The end of a conversation that was held in this language. She was trained on conversations in one language; an answer
 * in Chinese before an English question makes her answer in Chinese again.
 */
export function inLanguage<T extends Said>(said: readonly T[], language: Language): T[] {
  let spoken: Language | undefined;
  let start = 0;
  for (const [i, { role, text }] of said.entries()) {
    if (role !== 'person') continue;
    const before = spoken;
    spoken = languageOf(text, spoken);
    if (spoken !== before) start = i;
  }
  return spoken === language ? said.slice(start) : [];
}

export async function fitWindow(
  system: string,
  history: readonly Said[],
  current: string,
  context: number,
  reach: Reach = OWN_REACH,
): Promise<ChatMessage[]> {
  const budget = Math.min(reach.tokens, context - RESERVED);
  const said = merge([...history, { role: 'person', text: current }]);
  const last = said.pop()!;
  // An overlong message keeps its end, where the question usually stands.
  const room = budget - estimateTokens(system) - 2 * MARKS;
  const messages: BaseMessage[] = [
    new SystemMessage(system),
    ...said
      .slice(-2 * reach.exchanges)
      .map(({ role, text }) => (role === 'person' ? new HumanMessage(text) : new AIMessage(text))),
    new HumanMessage(tail(last.text, room)),
  ];
  const kept = await trimMessages(messages, {
    strategy: 'last',
    maxTokens: budget,
    includeSystem: true,
    startOn: 'human',
    tokenCounter: (list: BaseMessage[]) => list.reduce((sum, message) => sum + MARKS + estimateTokens(message.text), 0),
  });
  return kept.map((message) => ({
    role: message.getType() === 'system' ? 'system' : message.getType() === 'human' ? 'user' : 'assistant',
    content: message.text,
  }));
}

function tail(text: string, tokens: number): string {
  if (estimateTokens(text) <= tokens) return text;
  const chars = [...text];
  let kept = '';
  let used = 0;
  for (const char of chars.reverse()) {
    used += estimateTokens(char);
    if (used > tokens) break;
    kept = char + kept;
  }
  return kept;
}
