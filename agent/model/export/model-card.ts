/**
 * Who may use a checkpoint and which languages it speaks, from the block of `key: value` lines Hugging Face puts at the top
 * of a README. What it does not say stays unsaid: a licence is never guessed. Not a YAML parser; these two keys only.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Card {
  license?: string;
  languages: string[];
}

const FRONT = /^---\r?\n([\s\S]*?)\r?\n---(\r?\n|$)/;

export async function readCard(directory: string): Promise<Card> {
  const text = await readFile(join(directory, 'README.md'), 'utf8').catch(() => '');
  return parseCard(text);
}

export function parseCard(readme: string): Card {
  const front = FRONT.exec(readme)?.[1] ?? '';
  const license = /^license:[ \t]*([\w.+-]+)[ \t]*$/m.exec(front)?.[1];
  // Either `language: zh`, `language: [zh, en]`, or one `- zh` a line.
  const language = /^language:[ \t]*(.*(?:\r?\n[ \t]*-[ \t]*[\w-]+)*)/m.exec(front)?.[1] ?? '';
  return { ...(license && { license }), languages: language.match(/\b[a-z]{2,3}\b/g) ?? [] };
}
