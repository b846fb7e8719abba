/** The embedded database under hard treatment: killed, doubled, damaged, on a directory that cannot be written. */
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChatClient, until } from '../support/chat-client.ts';
import { type ServerProcess, startServer } from '../support/server-process.ts';

let root: string;
const processes: ServerProcess[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'xiaohe-chaos-'));
});
afterEach(async () => {
  for (const server of processes.splice(0)) await server.end('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

async function start(options?: { ready?: boolean; directory?: string }): Promise<ServerProcess> {
  const server = await startServer({
    scripted: true,
    dataDirectory: options?.directory ?? join(root, 'data'),
    ready: options?.ready ?? true,
  });
  processes.push(server);
  return server;
}
async function failure(directory?: string): Promise<string> {
  const server = await start({ ready: false, ...(directory && { directory }) });
  await until(() => server.child.exitCode !== null);
  expect(server.child.exitCode).toBe(1);
  return /\[([A-Z_]+)\]/.exec(server.output())?.[1] ?? server.output();
}

describe('chaos on the embedded database', () => {
  it('loses nothing acknowledged when killed mid-reply, and starts again at once', async () => {
    const first = await start();
    const before = await ChatClient.connect(first.url);
    await before.join();
    for (let index = 0; index < 20; index++) await before.reply((await before.send(`早${'安'.repeat(index)}`)).id);
    const { id } = await before.send('slow');
    await until(() => before.generationEvents.some((event) => event.type === 'delta' && event.text.includes('1 ')));
    await first.end('SIGKILL');
    const client = await ChatClient.connect((await start()).url, { cookie: before.cookie });
    const joined = await client.join();
    const messages = 'snapshot' in joined ? joined.snapshot.messages : [];
    expect(messages).toHaveLength(42);
    expect(messages.at(-2)).toMatchObject({ id, text: 'slow' });
    expect(messages.at(-1)).toMatchObject({
      text: expect.stringMatching(/^0 1 /),
      generation: { status: 'failed', error: { code: 'REPLY_INTERRUPTED' } },
    });
    expect((await client.reply((await client.send('还记得吗')).id)).text).toBe('回声：还记得吗');
    for (const each of [before, client]) each.close();
  });

  it('refuses a second process on the same data', async () => {
    const first = await start();
    expect(await failure()).toBe('SECOND_PROCESS');
    expect((await fetch(`${first.url}/health`)).ok).toBe(true);
    expect(await first.end('SIGTERM')).toBe(0);
    expect(await (await start()).end('SIGTERM')).toBe(0);
  });

  it('says what is wrong with a directory it cannot use', async () => {
    writeFileSync(join(root, 'file'), '');
    expect(await failure(join(root, 'file', 'data'))).toBe('DATA_DIR_READONLY');
    await (await start()).end('SIGTERM');
    const data = join(root, 'data', 'postgres');
    truncateSync(join(data, 'global', 'pg_control'), 100);
    expect(await failure()).toBe('DATABASE_BROKEN');
    expect(readdirSync(data)).toContain('global');
  });

  it('says when its port is taken', async () => {
    const first = await start();
    const second = await startServer({
      scripted: true,
      dataDirectory: join(root, 'other'),
      port: new URL(first.url).port,
      ready: false,
    });
    processes.push(second);
    await until(() => second.child.exitCode !== null);
    expect([second.child.exitCode, second.output()]).toEqual([1, expect.stringContaining('[PORT_TAKEN]')]);
  });
});
