/** A person talks to Xiaohe: the real page in a real browser, the real server, the shipped checkpoint. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, type Person, screenshot, sitDown } from '../support/browser.ts';
import { removeFolder, type ServerProcess, startServer } from '../support/server-process.ts';

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

async function ask(person: Person, text: string): Promise<string> {
  const before = await person.replies.count();
  await person.say(text);
  await person.replies.nth(before).waitFor();
  const reply = await person.reply();
  return (await reply.locator('.text').textContent())?.trim() ?? '';
}

describe('a visitor', () => {
  it('greets her in Chinese and in English and is answered in her own words, labelled as AI', async () => {
    const person = await sitDown(browser, server.url);
    const zh = await ask(person, '你好');
    expect(zh).toMatch(/\p{Script=Han}{2,}/u);
    const en = await ask(person, 'Hello! Who are you?');
    expect(en).toMatch(/[a-z]{2,}/i);
    expect(await person.page.getByText('AI 生成').count()).toBeGreaterThanOrEqual(2);
    await screenshot(person.page, 'talk-zh');
    expect(person.problems).toEqual([]);
    await person.context.close();
  });

  it('teaches a fact, comes back after a restart, and is answered from it with the teacher named', async () => {
    const first = await sitDown(browser, server.url);
    await ask(first, '我家的猫叫豆豆');
    await first.page.locator('summary', { hasText: '记住' }).waitFor();
    const storageState = await first.context.storageState();
    const me = await first.page.evaluate(() => fetch('/api/session').then((response) => response.json()));
    await first.context.close();
    await server.end();
    server = await startServer({ dataDirectory: server.dataDirectory, port: new URL(server.url).port });

    const again = await sitDown(browser, server.url, { storageState });
    await again.replies.first().waitFor();
    const answer = await ask(again, '我家的猫叫什么？');
    expect(answer).toContain('豆豆');
    const chip = again.replies.last().locator('details');
    await chip.locator('summary').click();
    expect(await chip.innerText()).toContain('我家的猫叫豆豆');
    expect(await chip.innerText()).toContain(me.name);
    await screenshot(again.page, 'talk-recalled');
    expect(again.problems).toEqual([]);
    await again.context.close();
  });

  it('asks what she was never taught: nothing is recalled, and she asks to be taught', async () => {
    const person = await sitDown(browser, server.url);
    const answer = await ask(person, '我的乌龟叫什么名字？');
    expect(await person.replies.last().locator('details').filter({ hasText: '想起' }).count()).toBe(0);
    expect(answer).toMatch(/教|没学|不知道|不晓得|不认识|没听|没有听|告诉|还没|不会|不清楚|记/);
    await person.context.close();
  });

  it('gives an upper line and gets a lower one of equal length, with the rules shown', async () => {
    const person = await sitDown(browser, server.url, {}, '/?skill=couplet');
    await person.page.getByRole('radio', { name: '对对子' }).check({ force: true });
    for (const upper of ['春风又绿江南岸', '明月松间照', '海阔凭鱼跃']) {
      const lower = await ask(person, upper);
      expect(lower).toMatch(/^\p{Script=Han}+$/u);
      expect([...lower]).toHaveLength([...upper].length);
    }
    await person.page.getByText('字数相同').first().waitFor();
    await screenshot(person.page, 'talk-couplet');
    expect(person.problems).toEqual([]);
    await person.context.close();
  });
});
