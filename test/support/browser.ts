/** The system's Chromium and a person in front of it. Every person has a browser context of their own: own cookie, own storage. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core';
import { ROOT } from './server-process.ts';

/** A reply of the real model on a busy two-core machine. */
const REPLY_TIMEOUT_MS = 60_000;
const SCREENSHOTS = join(ROOT, 'dist/screenshots');

export type Context = NonNullable<Parameters<Browser['newContext']>[0]>;

export async function launch(): Promise<Browser> {
  const found = [process.env.CHROMIUM_PATH, '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
    (path) => path && existsSync(path),
  );
  if (!found) throw new Error('no Chromium: install it (Debian: apt-get install chromium) or set CHROMIUM_PATH');
  return chromium.launch({
    executablePath: found,
    // The last four keep Chromium from calling home, which a closed network turns into seconds of retries.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
}

export interface Person {
  context: BrowserContext;
  page: Page;
  /** Whatever the page wrote to its console as an error, and every request it made to another host. */
  problems: string[];
  say: (text: string) => Promise<void>;
  /** Her last reply, once it has ended. */
  reply: () => Promise<Locator>;
  replies: Locator;
}

export async function sitDown(browser: Browser, url: string, options: Context = {}, path = '/'): Promise<Person> {
  const context = await browser.newContext({ locale: 'zh-CN', viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('console', (message) => {
    // Chromium reports a cut network as an error; tests that cut it do so on purpose.
    if (message.type() === 'error' && !/ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_REFUSED/.test(message.text()))
      problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== new URL(url).origin)
      problems.push(`request to ${request.url()}`);
  });
  await page.goto(url + path);
  const replies = page.locator('article.reply');
  const box = page.getByRole('textbox', { name: /写给小禾的话|Message to Xiaohe/ });
  return {
    context,
    page,
    problems,
    replies,
    say: async (text) => {
      await box.fill(text);
      await box.press('Enter');
    },
    reply: async () => {
      const last = replies.last();
      await page.waitForFunction(
        () => {
          const all = document.querySelectorAll('article.reply');
          return all.length > 0 && all[all.length - 1]?.getAttribute('aria-busy') === 'false';
        },
        undefined,
        { timeout: REPLY_TIMEOUT_MS },
      );
      return last;
    },
  };
}

/** For people to look at; no test reads it. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
