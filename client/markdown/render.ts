/**
 * From a message's text to the safe HTML of its blocks. Finished blocks are remembered by their text, so a reply of many
 * blocks costs one block per arriving piece; only the growing tail is healed, parsed and sanitised again.
 */
import remend from 'remend';
import type { Parser } from './parse.ts';
import { type SafeHtml, sanitize } from './sanitize.ts';

/** Remembered blocks; a long chat shows a few hundred. */
const CACHE_BLOCKS = 2_000;

const caches = new WeakMap<Parser, Map<string, SafeHtml>>();

export function renderBlock(raw: string, parser: Parser): SafeHtml {
  const cache = caches.get(parser) ?? new Map<string, SafeHtml>();
  caches.set(parser, cache);
  const known = cache.get(raw);
  if (known) return known;
  const html = sanitize(parser.html(raw));
  if (cache.size >= CACHE_BLOCKS) cache.delete(cache.keys().next().value as string);
  cache.set(raw, html);
  return html;
}

/** The growing tail: half-typed emphasis, code and links are closed for show, and never remembered. */
export function renderTail(raw: string, parser: Parser): SafeHtml {
  return sanitize(parser.html(remend(raw, { linkMode: 'text-only', htmlTags: false, comparisonOperators: false })));
}
