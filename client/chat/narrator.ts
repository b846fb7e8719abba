/**
 * Decides what a screen reader hears of a conversation: whole sentences of a growing reply, each once, and what others
 * write. Nothing of what was there when the page opened, and nothing the reader wrote.
 */
import type { Message } from '../../server/protocol.ts';

/** Replies grow at the end of a room; older messages no longer speak. */
const RECENT = 12;
/** The last sentence end in a text; a full stop in or after a number is none. */
const SENTENCE_END = /[。！？；…!?\n]|(?<!\d)\.(?=\s)/g;

/** `first`: nothing of this message was said before, so the listener must be told whose it is. */
export type Say = (message: Message, text: string, first: boolean) => void;

export class Narrator {
  readonly #say: Say;
  /** How much of each message was spoken, characters. */
  readonly #spoken = new Map<string, number>();
  #started = false;

  constructor(say: Say) {
    this.#say = say;
  }

  read(messages: readonly Message[], you: string | undefined): void {
    for (const message of messages.slice(-RECENT)) {
      const ended = message.generation?.status !== 'running';
      const spoken = this.#spoken.get(message.id);
      const silent = message.author.id === you || (!this.#started && ended);
      if (silent || (spoken === undefined && !this.#started)) {
        this.#spoken.set(message.id, message.text.length);
        continue;
      }
      this.#speak(message, spoken ?? 0, ended);
    }
    this.#started = true;
  }

  #speak(message: Message, from: number, ended: boolean): void {
    const to = ended ? message.text.length : completeUpTo(message.text, from);
    if (to <= from) return;
    this.#spoken.set(message.id, to);
    const text = spokenForm(message.text.slice(from, to));
    if (text) this.#say(message, text, from === 0);
  }
}

/** The end of the last complete sentence after `from`, or `from`. */
export function completeUpTo(text: string, from: number): number {
  let end = from;
  for (const match of text.slice(from).matchAll(SENTENCE_END)) end = from + match.index + match[0].length;
  return end;
}

/** Markdown's marks mean nothing aloud. */
function spokenForm(text: string): string {
  return text
    .replace(/[*_`#>$~|]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}
