/** What happens between browsers and across cuts. The scripted student makes replies long enough to be interrupted. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, type Person, sitDown } from '../support/browser.ts';
import { SLOW_PIECES } from '../support/scripted-student.ts';
import { removeFolder, type ServerProcess, startServer } from '../support/server-process.ts';

const WHOLE = Array.from({ length: SLOW_PIECES }, (_, index) => index).join(' ');

let browser: Browser;
let server: ServerProcess;

beforeAll(async () => {
  [browser, server] = await Promise.all([launch(), startServer({ scripted: true })]);
});
afterAll(async () => {
  await browser.close();
  await server.end();
  removeFolder(server.dataDirectory);
});

/** All messages of the page in order. Not `innerText`, which is empty for what the page skips drawing out of sight. */
async function shown(page: Page): Promise<string[]> {
  const texts = await page.locator('article .slip, article .text').allTextContents();
  return texts.map((text) => text.trim());
}

async function words(person: Person): Promise<string> {
  return (await (await person.reply()).locator('.text').textContent())?.trim() ?? '';
}

describe('a reply under way', () => {
  it('goes on after a reload from where it was', async () => {
    const person = await sitDown(browser, server.url);
    await person.say('slow one');
    await person.page.getByText('0 1 2 3').waitFor();
    await person.page.reload();
    await person.page.getByText('0 1 2 3').waitFor();
    expect(await words(person)).toBe(WHOLE);
    expect(await person.replies.count()).toBe(1);
    await person.context.close();
  });

  it('stops when asked to, keeping what was said', async () => {
    const person = await sitDown(browser, server.url);
    await person.say('slow two');
    await person.page.getByText('0 1 2 3').waitFor();
    await person.page.getByRole('button', { name: '停止' }).click();
    const said = await words(person);
    expect(WHOLE.startsWith(said)).toBe(true);
    expect(said.length).toBeLessThan(WHOLE.length);
    await person.page.getByText('已停止').waitFor();
    await person.context.close();
  });
});

describe('without a network', () => {
  it('keeps what was typed and sends it once when the network returns', async () => {
    const person = await sitDown(browser, server.url);
    await person.say('第一句');
    await person.reply();
    await person.context.setOffline(true);
    await person.say('断网时写的话');
    await person.page.getByText('已存在本机，连上后发送').waitFor();
    await person.page.waitForTimeout(1_500);
    await person.context.setOffline(false);
    await person.page.getByText('回声：断网时写的话', { exact: true }).waitFor();
    await person.page.reload();
    await person.page.getByText('回声：断网时写的话', { exact: true }).waitFor();
    expect((await shown(person.page)).filter((text) => text === '断网时写的话')).toHaveLength(1);
    await person.context.close();
  });

  it('keeps the draft and the queue through a reload while the server is away', async () => {
    const person = await sitDown(browser, server.url);
    await person.say('在线时');
    await person.reply();
    await server.end();
    await person.say('服务器不在时写的');
    await person.page.getByRole('textbox', { name: '写给小禾的话' }).fill('还没写完');
    server = await startServer({ scripted: true, dataDirectory: server.dataDirectory, port: new URL(server.url).port });
    await person.page.reload();
    await person.page.getByText('回声：服务器不在时写的', { exact: true }).waitFor();
    expect(await person.page.getByRole('textbox', { name: '写给小禾的话' }).inputValue()).toBe('还没写完');
    await person.context.close();
  });
});

describe('two browsers in one room', () => {
  it('see the same messages in the same order', async () => {
    const teacher = await sitDown(browser, server.url, {}, '/classroom');
    await teacher.page.getByRole('button', { name: '开教室' }).click();
    await teacher.page.getByRole('textbox', { name: '写给小禾的话' }).waitFor();
    const code = /\d{6}/.exec((await teacher.page.locator('main').innerText()).replace(/(\d)\s(?=\d)/g, '$1'))![0];
    const pupil = await sitDown(browser, server.url, {}, '/classroom');
    await pupil.page.getByLabel('六位教室码').fill(code);
    await pupil.page.getByRole('button', { name: '进教室' }).click();
    await pupil.page.getByRole('textbox', { name: '写给小禾的话' }).waitFor();
    const SENT = 5;
    await Promise.all(
      [teacher, pupil].map(async (person, who) => {
        for (let i = 0; i < SENT; i++) await person.say(`话${who}-${i}`);
      }),
    );
    for (const person of [teacher, pupil]) {
      await person.page.waitForFunction(
        (count) => document.querySelectorAll('article.reply[aria-busy=false] .text').length === count,
        2 * SENT,
      );
    }
    const [seen, alsoSeen] = await Promise.all([shown(teacher.page), shown(pupil.page)]);
    expect(seen).toHaveLength(4 * SENT);
    expect(alsoSeen).toEqual(seen);
    await teacher.context.close();
    await pupil.context.close();
  });
});
