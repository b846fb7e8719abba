/**
 * What a person teaches, found in their own words by patterns: no model call, the same result every time, microseconds.
 * It would rather miss a fact than remember junk: questions, greetings, commands, suppositions, opinions on the moment,
 * reported speech, quotations and pasted text are not facts. It never sees her replies or recalled text; the caller
 * hands it a person's message and nothing else.
 */

import { hasPrivateData } from '../safety/index.ts';
import { extractEn } from './extract-en.ts';
import { extractZh, type Found } from './extract-zh.ts';
import { splitSentences } from './sentences.ts';
import type { Amendment, Extraction, Statement } from './statement.ts';

/** A longer message is a pasted text, not somebody teaching; her curriculum reads those another way. */
const PASTED_CHARS = 300;
/** More lines than anybody types while teaching one thing. */
const PASTED_LINES = 8;
/** More facts than this from one message is a list to be studied, not a lesson. */
const MOST_FACTS = 5;

const HAN = /\p{Script=Han}/u;
/** Quoted lines, code, links, markup, role labels: material, not speech. */
const MATERIAL =
  /^\s*(?:>|```|\||#{1,6}\s|[{}[\]<]|https?:|system\s*[:：]|assistant\s*[:：]|<\|)|https?:\/\/|<\|im_|<\/?[a-z]+[^>]*>/i;

export function extract(message: string): Extraction {
  const text = message.normalize('NFC').trim();
  // A telephone number in a message keeps the whole message out of memory, whoever calls this.
  if (text.length === 0 || text.length > PASTED_CHARS || hasPrivateData(text)) return { statements: [] };
  const lines = text.split(/\r?\n/);
  if (lines.length > PASTED_LINES || /```/.test(text)) return { statements: [] };

  const statements: Statement[] = [];
  let amendment: Amendment | undefined;
  // Said once ("不对。其实…" / "That's wrong. …"), it holds for what follows.
  let correcting = false;
  for (const line of lines) {
    if (MATERIAL.test(line)) continue;
    for (const sentence of splitSentences(line)) {
      const found: Found = HAN.test(sentence.text) ? extractZh(sentence, correcting) : extractEn(sentence, correcting);
      correcting = found.correcting;
      statements.push(...found.statements);
      amendment ??= found.amendment;
    }
  }
  const unique = new Map(statements.map((s) => [`${s.subject}|${s.relation}|${s.object}`, s]));
  const result: Extraction = { statements: [...unique.values()].slice(0, MOST_FACTS) };
  // With a full statement in the same message the amendment said it only half.
  if (amendment && statements.length === 0) result.amendment = amendment;
  return result;
}
