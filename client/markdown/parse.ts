/**
 * Markdown to HTML, as strings and without a browser: marked with Chinese emphasis, and KaTeX once it is loaded. The
 * HTML is NOT safe to show; `sanitize.ts` comes last, after KaTeX.
 */
import type { KatexOptions } from 'katex';
import { Marked, type MarkedExtension, type TokensList } from 'marked';
import { emStrong } from './cjk.ts';

export type Lex = (text: string) => TokensList;

export interface Parser {
  lex: Lex;
  html(text: string): string;
}

/** A formula longer than this is an attack or an accident, and KaTeX would block the page: characters. */
const FORMULA_CHARS = 2_000;

/**
 * MathML only: the browser draws it, screen readers read it, and it needs neither inline styles (which our content
 * security policy forbids) nor fonts. Sizes are in em, expansions are macro steps.
 */
const KATEX: KatexOptions = {
  output: 'mathml',
  throwOnError: false,
  trust: false,
  strict: 'ignore',
  maxSize: 10,
  maxExpand: 200,
};

const base: MarkedExtension = {
  gfm: true,
  breaks: true,
  tokenizer: {
    emStrong,
    // A link defined in one block and used in another would make blocks depend on each other.
    def: () => undefined,
    // Chat is not a web page: tags are shown as typed, except that marked must still see comments and code as text.
    html: () => undefined,
    tag: () => undefined,
  },
};

const plain = new Marked(base);
export const plainParser: Parser = {
  lex: (text) => plain.lexer(text),
  html: (text) => plain.parse(text, { async: false }),
};

/** Loads KaTeX (80 kB over the wire), so only for a text that may hold maths. */
export async function loadMathsParser(): Promise<Parser> {
  const { default: markedKatex } = await import('marked-katex-extension');
  const maths = new Marked(base, capped(markedKatex({ ...KATEX, nonStandard: true })));
  return { lex: (text) => maths.lexer(text), html: (text) => maths.parse(text, { async: false }) };
}

/** Cheap and generous: a price in dollars loads KaTeX for nothing, a formula is never missed. */
export function mayHoldMaths(text: string): boolean {
  const first = text.indexOf('$');
  return first >= 0 && text.indexOf('$', first + 1) > 0;
}

function capped(extension: MarkedExtension): MarkedExtension {
  for (const part of extension.extensions ?? []) {
    if (!('tokenizer' in part) || !('renderer' in part) || !part.tokenizer || !part.renderer) continue;
    const render = part.renderer;
    // KaTeX colours a broken formula with a style attribute, which the content security policy would report.
    part.renderer = function (token) {
      const html = render.call(this, token);
      return typeof html === 'string' ? html.replace(/ style="[^"]*"/g, '') : html;
    };
    const read = part.tokenizer;
    part.tokenizer = function (src, tokens) {
      const token = read.call(this, src, tokens);
      return token && token.raw.length > FORMULA_CHARS ? undefined : token;
    };
  }
  return extension;
}
