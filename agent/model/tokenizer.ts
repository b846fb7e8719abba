/**
 * Text ↔ token ids: byte-level BPE from `tokenizer.json` through `@huggingface/tokenizers`, ChatML rendering, and an
 * incremental decoder.
 *
 * What a person typed can never become a special token: the BPE knows no special tokens at all, so `<|im_end|>` in a
 * message is encoded as the ordinary characters `<`, `|`, … Special tokens enter a prompt only from `renderChat`, and from
 * `encodePrompt`, which is for raw prompts of engineers.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toUSVString } from 'node:util';
import { Tokenizer as BytePairs } from '@huggingface/tokenizers';
import { z } from 'zod';
import { type ChatMessage, ModelError } from './types.ts';

const TokenizerJson = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string() })),
  model: z.looseObject({ type: z.literal('BPE'), vocab: z.record(z.string(), z.int().nonnegative()) }),
});

export interface Tokenizer {
  /** Ordinary text; never yields a special token. Lone surrogates become U+FFFD, as UTF-8 demands. */
  encode(text: string): number[];
  /** A ChatML prompt that ends where the assistant begins to speak. */
  renderChat(messages: ChatMessage[]): number[];
  /** Text in which special tokens, spelt out, are themselves: for prompts of engineers, never for what a person typed. */
  encodePrompt(text: string): number[];
  decode(tokens: Iterable<number>): string;
  /** One token by itself: its text, with U+FFFD for bytes that are no whole character, or a special token's name. */
  nameOf(token: number): string;
  /** A fresh incremental decoder for one reply. */
  stream(): TextStream;
  /** Every character that is exactly one token, by character. */
  readonly characters: ReadonlyMap<string, number>;
  /** Tokens of the Han characters among `characters`, ascending. */
  readonly han: readonly number[];
  /** The bytes of every ordinary token. */
  readonly bytes: ReadonlyMap<number, Uint8Array>;
  /** Ids of all special tokens. */
  readonly special: ReadonlySet<number>;
}
export interface TextStream {
  /** Text completed by this token: whole characters only, '' while one is still missing bytes. */
  push(token: number): string;
}

/** `vocabulary` is the network's; a tokenizer that can produce ids beyond it does not belong to these weights. */
export async function openTokenizer(directory: string, vocabulary: number): Promise<Tokenizer> {
  const path = join(directory, 'tokenizer.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ModelError('CHECKPOINT_MISSING', `cannot read ${path}`, { cause });
  }
  try {
    return buildTokenizer(JSON.parse(text), vocabulary);
  } catch (cause) {
    if (cause instanceof ModelError) throw new ModelError(cause.code, `${path}: ${cause.message}`, { cause });
    throw new ModelError('CHECKPOINT_BROKEN', `${path}: not a byte-level BPE tokenizer`, { cause });
  }
}

function buildTokenizer(json: unknown, vocabulary: number): Tokenizer {
  const { added_tokens, ...plain } = TokenizerJson.parse(json);
  const special = new Map(added_tokens.map((token) => [token.content, token.id]));
  const specialIds = new Set(special.values());
  const bytePairs = new BytePairs({ ...plain, added_tokens: [] }, {});
  const bytes = bytesOfTokens(plain.model.vocab);
  const largest = [...bytes.keys(), ...specialIds].reduce((max, id) => Math.max(max, id), 0);
  if (largest >= vocabulary)
    throw new ModelError('CHECKPOINT_BROKEN', `token id ${largest} lies outside the vocabulary of ${vocabulary}`);
  const required = (token: string): number => {
    const id = special.get(token);
    if (id === undefined) throw new ModelError('CHECKPOINT_UNSUPPORTED', `special token ${token} is missing`);
    return id;
  };
  const start = required('<|im_start|>');
  const end = required('<|im_end|>');

  const encode = (text: string) => (text === '' ? [] : bytePairs.encode(toUSVString(text)).ids);
  const newline = encode('\n');
  const names = new Map([...special].map(([name, id]) => [id, name]));
  const marks = new RegExp(
    `(${[...special.keys()]
      .sort((a, b) => b.length - a.length)
      .map(literally)
      .join('|')})`,
  );
  const characters = singleCharacters(bytes);
  const stream = (): TextStream => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return { push: (token) => decoder.decode(bytes.get(token) ?? NO_BYTES, { stream: true }) };
  };
  return {
    encode,
    renderChat(messages) {
      const turns = messages.flatMap(({ role, content }) => [start, ...encode(`${role}\n${content}`), end, ...newline]);
      return [...turns, start, ...encode('assistant\n')];
    },
    // Splitting by a group keeps what it matched, at every odd place.
    encodePrompt: (text) => text.split(marks).flatMap((part, i) => (i % 2 ? special.get(part)! : encode(part))),
    decode(tokens) {
      const { push } = stream();
      return Array.from(tokens, push).join('');
    },
    nameOf: (token) => names.get(token) ?? new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.get(token)),
    stream,
    bytes,
    characters,
    han: [...characters]
      .filter(([character]) => HAN.test(character))
      .map(([, token]) => token)
      .sort((a, b) => a - b),
    special: specialIds,
  };
}

const NO_BYTES = new Uint8Array();
const literally = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
const HAN = /^\p{Unified_Ideograph}$/u;

/** GPT-2's printable alphabet for bytes: printable Latin-1 stands for itself, the other 68 bytes start at U+0100. */
function byteOfLetter(): Map<string, number> {
  const letters = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    letters.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return letters;
}

function bytesOfTokens(vocab: Record<string, number>): Map<number, Uint8Array> {
  const letters = byteOfLetter();
  return new Map(
    Object.entries(vocab).map(([token, id]) => {
      const bytes = Array.from(token, (letter) => {
        const byte = letters.get(letter);
        if (byte === undefined) throw new ModelError('CHECKPOINT_UNSUPPORTED', `token ${token} is not byte-level`);
        return byte;
      });
      return [id, Uint8Array.from(bytes)];
    }),
  );
}

function singleCharacters(bytes: Map<number, Uint8Array>): Map<string, number> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const characters = new Map<string, number>();
  for (const [id, utf8] of bytes) {
    try {
      const text = decoder.decode(utf8);
      if ([...text].length === 1) characters.set(text, id);
    } catch {
      // A fragment of a character: no text of its own.
    }
  }
  return characters;
}
