/**
 * Every page in both languages, both themes, on a desktop and a phone: no accessibility violation axe can find, no
 * sideways scrolling, no error on the console, no request to another host. The pictures are for people to look at.
 */
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Context, launch, screenshot, sitDown } from '../support/browser.ts';
import { removeFolder, type ServerProcess, startServer } from '../support/server-process.ts';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const LOOKS: { name: string; options: Context }[] = [
  { name: 'zh-light-desktop', options: { locale: 'zh-CN' } },
  { name: 'en-dark-desktop', options: { locale: 'en-GB', colorScheme: 'dark' } },
  { name: 'zh-dark-phone', options: { locale: 'zh-CN', colorScheme: 'dark', ...PHONE } },
  { name: 'en-light-phone', options: { locale: 'en-GB', ...PHONE } },
];
const PAGES = ['', 'classroom', 'studio', 'growth'];

let browser: Browser;
let server: ServerProcess;

beforeAll(async () => {
  [browser, server] = await Promise.all([launch(), startServer()]);
});
afterAll(async () => {
  await browser.close();
  await server.end();
  removeFolder(server.dataDirectory);
});

async function violations(page: Page): Promise<string[]> {
  // Injected by the test runner, not by the page, so the page's own policy stays as strict as it is.
  await page.evaluate(await import('node:fs').then((fs) => fs.readFileSync(AXE, 'utf8')));
  return page.evaluate(async () => {
    type Axe = { run: () => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
    const { violations: found } = await (globalThis as unknown as { axe: Axe }).axe.run();
    return found.map((each) => `${each.impact} ${each.id}: ${each.nodes.map((node) => node.html).join(' | ')}`);
  });
}

describe.each(LOOKS)('$name', ({ name, options }) => {
  it.each(PAGES)('/%s', async (path) => {
    const person = await sitDown(browser, server.url, options, `/${path}`);
    await person.page.locator('main h1, main textarea').first().waitFor();
    if (path === '') {
      await person.say(name.startsWith('zh') ? '你好' : 'Hello');
      await person.replies.first().waitFor();
      await person.reply();
    }
    await person.page.waitForTimeout(300);
    await screenshot(person.page, `${name}-${path || 'chat'}`);
    expect(await violations(person.page)).toEqual([]);
    const overflow = await person.page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
    expect(person.problems).toEqual([]);
    await person.context.close();
  });
});

describe('without a mouse', () => {
  it('reaches the composer by Tab, sends by Enter, and the reply is announced politely', async () => {
    const person = await sitDown(browser, server.url);
    await person.page.locator('main textarea').waitFor();
    await person.page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    const onComposer = () => person.page.evaluate(() => document.activeElement?.tagName === 'TEXTAREA');
    for (let presses = 0; presses < 40 && !(await onComposer()); presses++) await person.page.keyboard.press('Tab');
    expect(await onComposer()).toBe(true);
    await person.page.keyboard.type('你好');
    await person.page.keyboard.press('Enter');
    await person.replies.first().waitFor();
    const said = (await (await person.reply()).locator('.text').innerText()).trim();
    const live = person.page.locator('[aria-live=polite]');
    await person.page.waitForFunction(
      () => (document.querySelector('[aria-live=polite]')?.textContent ?? '').trim().length > 0,
    );
    expect(said.length).toBeGreaterThan(0);
    expect(await live.count()).toBe(1);
    await person.context.close();
  });
});
