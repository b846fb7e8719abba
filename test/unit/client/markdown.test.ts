/** Markdown without a browser: Chinese emphasis, maths, and the promise that streaming ends where reading whole does. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_BLOCKS, splitBlocks } from '../../../client/markdown/blocks.ts';
import { loadMathsParser, mayHoldMaths, type Parser, plainParser } from '../../../client/markdown/parse.ts';

const maths = await loadMathsParser();
const parsers: [string, Parser][] = [
  ['without maths', plainParser],
  ['with maths', maths],
];
const inline = (text: string) =>
  plainParser
    .html(text)
    .trim()
    .replace(/^<p>|<\/p>$/g, '');

describe('emphasis in Chinese', () => {
  it.each([
    ['**重点：**内容', '<strong>重点：</strong>内容'],
    ['他说**“你好”**然后走了', '他说<strong>“你好”</strong>然后走了'],
    ['这是**《静夜思》**，李白写的', '这是<strong>《静夜思》</strong>，李白写的'],
    ['一**二：**三**四。**五', '一<strong>二：</strong>三<strong>四。</strong>五'],
    ['*注意：*小心', '<em>注意：</em>小心'],
    ['***三星：***后面', '<em><strong>三星：</strong></em>后面'],
    ['**一*二：*三**四', '<strong>一<em>二：</em>三</strong>四'],
    ['**重点（note）**内容', '<strong>重点（note）</strong>内容'],
    ['**价格是`**`：**好', '<strong>价格是<code>**</code>：</strong>好'],
    ['**链接[a：](https://a.example/**)：**好', '<strong>链接<a href="https://a.example/**">a：</a>：</strong>好'],
  ])('%s', (source, html) => {
    expect(inline(source)).toBe(html);
  });

  it.each([
    ['**bold** and *em*', '<strong>bold</strong> and <em>em</em>'],
    ['a * b * c', 'a * b * c'],
    ['2*3*4 ** 5', '2<em>3</em>4 ** 5'],
    ['** 不是重点：**内容', '** 不是重点：**内容'],
    ['foo **"bar"**baz', 'foo **&quot;bar&quot;**baz'],
    ['\\**不：**是', '**不：**是'],
  ])('leaves to the standard rules: %s', (source, html) => {
    expect(inline(source)).toBe(html);
  });
});

describe('maths', () => {
  it('needs no space before a formula in Chinese', () => {
    expect(maths.html('面积是$S=ab$。')).toContain('<math');
  });

  it('writes MathML without style attributes, also for a broken formula', () => {
    expect(maths.html('$$\n\\frac{a}{b}\n$$')).toContain('display="block"');
    expect(maths.html('$\\frac{$')).not.toContain('style=');
  });

  it('does not let a formula grow without bound', () => {
    expect(maths.html(`$${'x'.repeat(3_000)}$`)).not.toContain('<math');
    expect(maths.html('$\\def\\a{\\a\\a}\\a$')).toContain('katex-error');
    expect(maths.html('$\\href{javascript:alert(1)}{x}$')).not.toContain('href=');
  });

  it('is looked for only where it may be', () => {
    expect(mayHoldMaths('五块钱 $5')).toBe(false);
    expect(mayHoldMaths('$a$')).toBe(true);
  });
});

describe('tags', () => {
  it.each(parsers)('are shown as typed, %s', (_, parser) => {
    expect(parser.html('<img src=x onerror=alert(1)>\n\na <b>c</b>')).not.toMatch(/<(img|b)\b/);
  });
});

/** What makes blocks, breaks them, and joins them again. */
const fragment = fc.constantFrom(
  '字',
  'word ',
  '\n',
  '\n\n',
  '- ',
  '1. ',
  '2. ',
  '> ',
  '# ',
  '```\n',
  '```',
  '~~~\n',
  '    ',
  '  ',
  '\t',
  '**',
  '*',
  '`',
  '$$',
  '$$\n',
  '$',
  '$\n',
  '|',
  'a|b\n',
  '-|-\n',
  '---\n',
  '===\n',
  '-',
  '=',
  '<div>\n',
  '</div>',
  '<!-- ',
  ' -->',
  '[a]: b\n',
  '[a]',
  '![x](y)',
  '\\',
  '：',
  '\r\n',
  '\r',
  '[ ] ',
);

describe('splitBlocks', () => {
  it.each(parsers)('gives back the text it was given, %s', (_, parser) => {
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 30 }), (parts) => {
        const text = parts.join('');
        expect(splitBlocks(text, parser.lex).raw.join('')).toBe(text.replace(/\r\n?/g, '\n'));
      }),
      { numRuns: 500 },
    );
  });

  it.each(parsers)('ends the same however the text was cut, %s', (_, parser) => {
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 30 }), fc.array(fc.nat(), { maxLength: 12 }), (parts, cuts) => {
        const text = parts.join('');
        const ends = [...new Set(cuts.map((cut) => cut % (text.length + 1))), text.length].sort((a, b) => a - b);
        const grown = ends.reduce((before, end) => splitBlocks(text.slice(0, end), parser.lex, before), NO_BLOCKS);
        const whole = splitBlocks(text, parser.lex);
        expect(grown.raw.map((raw) => parser.html(raw))).toEqual(whole.raw.map((raw) => parser.html(raw)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('reads only the tail of a long reply again', () => {
    const long = Array.from({ length: 200 }, (_, index) => `第${index}段。`).join('\n\n');
    const before = splitBlocks(long, plainParser.lex);
    let read = 0;
    const counting: Parser['lex'] = (text) => {
      read += text.length;
      return plainParser.lex(text);
    };
    expect(splitBlocks(`${long}又长了`, counting, before).raw).toHaveLength(200);
    expect(read).toBeLessThan(40);
  });
});
