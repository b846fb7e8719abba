/**
 * Replies that must keep a form, from a server that may or may not help: it is asked in the notations that servers know,
 * best first, and every answer is checked here. A notation that the server lets pass without heeding it is dropped; at the
 * end there are plain words, more tries, and an honest failure. Nothing is shown before it was found to keep the form.
 */
import { type ChatMessage, type Constraint, type GenerateEvent, ModelError } from '../types.ts';
import { NO_TOKEN, type TokenEvent } from './chunks.ts';
import type { ServerKind } from './discover.ts';
import { isIncapable } from './failure.ts';
import { jsonForm } from './json-form.ts';
import type { Asked } from './model.ts';
import { type VerseForm, verseForm } from './verse-form.ts';

/** Tries with one notation, each with another seed: what it cannot say (the same character, another one) is a matter of luck. */
const TRIES = 4;
/** Warm enough that a second try differs from the first. */
const RETRY_TEMPERATURE = 0.7;
/** A Han character is up to three tokens of a vocabulary that was not made for Chinese. */
const TOKENS_PER_CHARACTER = 3;
/** Room for a sentence around the verse. Tokens. */
const SPARE_TOKENS = 64;

/** How servers are asked for a form. `words` is for all others. */
type Notation = 'structured_outputs' | 'guided_regex' | 'grammar' | 'json_schema' | 'json_object' | 'words';
/** vLLM's name since 0.10 and its name before that (gone in 0.12); llama.cpp's; words. */
const VERSE: readonly Notation[] = ['structured_outputs', 'guided_regex', 'grammar', 'words'];
/** OpenAI's and vLLM's form; llama.cpp's, which others read as a wish for any JSON; words. */
const JSON_TEXT: readonly Notation[] = ['json_schema', 'json_object', 'words'];

interface Form {
  fields(notation: Notation): Record<string, unknown>;
  words: string;
  maxTokens(wished: number, notation: Notation): number;
  find(reply: string): string | undefined;
  /** Whether the server heeded the notation, though the reply does not keep the whole form. */
  heeded(reply: string): boolean;
}

type Reply = (asked: Asked, fields: Record<string, unknown>) => AsyncGenerator<GenerateEvent, void, undefined>;
type End = Extract<GenerateEvent, { type: 'end' }>;

export class Constrained {
  readonly #reply: Reply;
  /** Notations not yet found useless, best first. */
  readonly #known: { slots: Notation[]; json: Notation[] };

  constructor(kind: ServerKind, reply: Reply) {
    this.#reply = reply;
    const verse = kind === 'llama.cpp' ? ['grammar' as const, 'words' as const] : [...VERSE];
    this.#known = { slots: verse, json: [...JSON_TEXT] };
  }

  /** Throws CONSTRAINT_IMPOSSIBLE when no try keeps the form. */
  async *reply(asked: Asked, constraint: Constraint): AsyncGenerator<GenerateEvent, void, undefined> {
    const started = performance.now();
    const form = constraint.kind === 'slots' ? verse(verseForm(constraint)) : json(constraint);
    const seed = asked.sampling.seed ?? Math.floor(Math.random() * 2 ** 31);
    const spent = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, computeMs: 0 };
    let tries = 0;
    for (const notation of [...this.#known[constraint.kind]]) {
      for (let left = TRIES; left > 0; left--) {
        // Another seed changes nothing where nothing is left to chance.
        const temperature =
          left === TRIES ? asked.sampling.temperature : Math.max(asked.sampling.temperature, RETRY_TEMPERATURE);
        const sampling = { ...asked.sampling, temperature, seed: seed + tries++ };
        const maxTokens = form.maxTokens(asked.maxTokens, notation);
        const wish = { ...asked, sampling, maxTokens, ...(notation === 'words' && instructed(asked, form.words)) };
        const said: TokenEvent[] = [];
        let end: End | undefined;
        try {
          for await (const event of this.#reply(wish, form.fields(notation))) {
            if (event.type === 'end') end = event;
            else said.push(event);
          }
        } catch (error) {
          if (notation === 'words' || !isIncapable(error)) throw error;
          this.#forget(constraint.kind, notation);
          break;
        }
        if (!end) continue;
        spent.promptTokens = end.usage.promptTokens;
        spent.cachedTokens = end.usage.cachedTokens;
        spent.completionTokens += end.usage.completionTokens;
        const found = end.reason === 'abort' ? undefined : form.find(end.text);
        if (found === undefined && end.reason !== 'abort') {
          if (notation === 'words' || form.heeded(end.text)) continue;
          this.#forget(constraint.kind, notation);
          break;
        }
        const totalMs = performance.now() - started;
        if (found !== undefined) yield* found === end.text ? said : [whole(found, said)];
        yield {
          type: 'end',
          reason: end.reason === 'abort' ? 'abort' : 'stop',
          text: found ?? '',
          usage: { ...spent, firstTokenMs: totalMs, totalMs },
        };
        return;
      }
    }
    throw new ModelError('CONSTRAINT_IMPOSSIBLE', `the remote model did not keep the form in ${tries} tries`);
  }

  #forget(kind: Constraint['kind'], notation: Notation): void {
    this.#known[kind] = this.#known[kind].filter((other) => other !== notation);
  }
}

function verse(form: VerseForm): Form {
  const characters = [...form.shape].length;
  const notations: Partial<Record<Notation, Record<string, unknown>>> = {
    structured_outputs: { structured_outputs: { regex: form.regex } },
    guided_regex: { guided_regex: form.regex },
    grammar: { grammar: form.grammar },
  };
  return {
    fields: (notation) => notations[notation] ?? {},
    words: `请严格按这个格式写，每个□换成一个汉字，标点照写，不要写别的话：\n${form.shape}`,
    maxTokens: (_, notation) => characters * TOKENS_PER_CHARACTER + (notation === 'words' ? SPARE_TOKENS : 1),
    find: form.find,
    heeded: form.fitsPlaces,
  };
}

function json(constraint: Parameters<typeof jsonForm>[0]): Form {
  const { formats, words, find } = jsonForm(constraint);
  return {
    fields: (notation) =>
      notation === 'words' ? {} : { response_format: formats[notation === 'json_schema' ? 0 : 1] },
    words,
    maxTokens: (wished) => wished,
    find,
    // Cut off at the token limit it is no JSON yet, whoever wrote it; prose is a server that did not heed.
    heeded: (reply) => /^\s*[{["\dtfn-]/.test(reply),
  };
}

/** The conversation with the form said in words at its end. */
function instructed({ messages, prompt }: Asked, words: string): Pick<Asked, 'messages'> | Pick<Asked, 'prompt'> {
  if (!messages) return { prompt: `${prompt}\n${words}\n` };
  const last = messages.at(-1);
  if (last?.role !== 'user') return { messages: [...messages, { role: 'user', content: words }] };
  const told: ChatMessage = { role: 'user', content: `${last.content}\n${words}` };
  return { messages: [...messages.slice(0, -1), told] };
}

/** One event for a text that stands somewhere in a longer reply. */
function whole(text: string, said: readonly TokenEvent[]): TokenEvent {
  const sum = said.reduce((total, { logprob }) => total + logprob, 0);
  return { type: 'token', token: NO_TOKEN, text, logprob: said.length > 0 ? sum / said.length : Number.NaN };
}
