/**
 * Splits markdown into its top-level blocks, and does so again cheaply while a message grows: blocks that later text can
 * no longer change are kept, and only the tail is read again. Growing a text in any pieces ends with the same blocks as
 * reading it whole.
 */
import type { Lex } from './parse.ts';

export interface Blocks {
  readonly text: string;
  /** The text of each block; joined they give `text`. */
  readonly raw: readonly string[];
}

export const NO_BLOCKS: Blocks = { text: '', raw: [] };

/** Display maths may hold blank lines, so an opened `$$` can still swallow every block after it. */
const MATHS_FENCE = /^\${1,2}$/m;

export function splitBlocks(text: string, lex: Lex, before: Blocks = NO_BLOCKS): Blocks {
  // Line ends, because marked normalises them and the blocks would no longer join to the text.
  const whole = text.replace(/\r\n?/g, '\n');
  const kept = whole.startsWith(before.text) ? settled(before) : [];
  const start = kept.reduce((sum, raw) => sum + raw.length, 0);
  return { text: whole, raw: [...kept, ...lexBlocks(whole.slice(start), lex)] };
}

function lexBlocks(text: string, lex: Lex): string[] {
  const raw: string[] = [];
  let at = 0;
  for (const token of lex(text)) {
    // marked invents and trims line ends around lists; from there on only the text itself can be trusted.
    if (!text.startsWith(token.raw, at)) break;
    // A blank line belongs to the block before it: alone it has nothing to show.
    if (token.type === 'space' && raw.length > 0) raw[raw.length - 1] += token.raw;
    else raw.push(token.raw);
    at += token.raw.length;
  }
  if (at < text.length) raw.push(text.slice(at));
  return raw;
}

/** A blank line ends every block but lists, code and maths, which are looked at below. */
const BLANK_LINE_AFTER = /\n[ \t]*\n$/;

/**
 * The blocks that no later text can change: those before the last one that began after a blank line and whose first
 * line is complete. Without the blank line a table may turn out to be a paragraph's next line; with half a line, `2`
 * may become `2. b` and join the list above.
 */
function settled({ raw }: Blocks): readonly string[] {
  const open = raw.findLastIndex(
    (block, index) => block.trimStart().includes('\n') && BLANK_LINE_AFTER.test(raw[index - 1] ?? ''),
  );
  const fence = raw.findIndex((block) => MATHS_FENCE.test(block));
  return raw.slice(0, Math.max(0, fence < 0 ? open : Math.min(open, fence)));
}
