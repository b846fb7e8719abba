/** The HTTP side: sessions, rooms and join codes, origins, health, metrics, and the page's headers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../server/main.ts';
import { ChatClient, until } from '../support/chat-client.ts';
import { createTestDatabase, DATABASES, type TestDatabase } from '../support/databases.ts';
import { scriptedMind } from '../support/scripted-student.ts';

describe.each(DATABASES)('HTTP on %s', (name) => {
  let database: TestDatabase;
  let server: RunningServer;

  beforeAll(async () => {
    database = await createTestDatabase(name);
    server = await database.serve({}, { origins: ['https://school.example'] });
  });
  afterAll(async () => {
    await server?.close(0);
    await database?.remove();
  });

  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(server.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const codeOf = async (response: Response) => ((await response.json()) as { error: { code: string } }).error.code;

  it('lets a guest in with a cookie scripts cannot read, and knows them again', async () => {
    const first = await post('/api/session', {});
    const cookie = first.headers.get('set-cookie')!;
    expect(cookie).toMatch(/HttpOnly/i);
    expect(cookie).toMatch(/SameSite=Lax/i);
    expect(cookie).not.toMatch(/Secure/i);
    const you = (await first.json()) as { id: string; name: string };
    expect(you).toMatchObject({ kind: 'person', name: expect.stringMatching(/^\p{Script=Han}+$/u) });
    const headers = { cookie: cookie.split(';')[0]! };
    expect(await (await fetch(`${server.url}/api/session`, { headers })).json()).toEqual(you);
    const renamed = await post('/api/session', { name: ' 小明 ' }, headers);
    expect(await renamed.json()).toEqual({ ...you, name: '小明' });
    expect(renamed.headers.get('set-cookie')).toBeNull();
  });

  it('refuses strangers, bad bodies and unknown codes with words', async () => {
    const refused = await fetch(`${server.url}/api/session`);
    expect([refused.status, await codeOf(refused)]).toEqual([401, 'NO_SESSION']);
    expect(await codeOf(await post('/api/rooms', { kind: 'class' }))).toBe('NO_SESSION');
    expect(await codeOf(await post('/api/session', '{'))).toBe('BAD_FRAME');
    expect(await codeOf(await post('/api/session', { name: 'x'.repeat(99) }))).toBe('BAD_FRAME');
    expect(await codeOf(await post('/api/session', 'x'.repeat(100_000)))).toBe('BAD_FRAME');
    expect(await codeOf(await fetch(`${server.url}/api/nothing`))).toBe('NOT_FOUND');
    const guest = await ChatClient.connect(server.url);
    const codes: string[] = [];
    for (let tries = 0; tries < 12; tries++)
      codes.push(await codeOf(await post('/api/rooms/join', { code: '000000' }, { cookie: guest.cookie })));
    expect(codes.slice(0, 10)).toEqual(Array(10).fill('JOIN_CODE_UNKNOWN'));
    expect(codes.slice(10)).toEqual(['RATE_LIMITED', 'RATE_LIMITED']);
    guest.close();
  });

  it('opens a class, lets people in by its code, and shows the code to the owner alone', async () => {
    const [teacher, pupil] = await Promise.all(
      ['王老师', '小红'].map((who) => ChatClient.connect(server.url, { name: who })),
    );
    const opened = await teacher!.post<{ room: string; code: string; title: string }>('/api/rooms', {
      kind: 'class',
      title: '三年级',
    });
    expect(opened).toEqual({
      room: expect.stringMatching(/^class:/),
      code: expect.stringMatching(/^\d{6}$/),
      title: '三年级',
    });
    await teacher!.join(opened.room);
    for (let twice = 0; twice < 2; twice++)
      expect(await pupil!.post('/api/rooms/join', { code: opened.code })).toEqual({ ...opened, code: '' });
    await until(() => teacher!.roomEvents.length > 0);
    expect(teacher!.roomEvents).toMatchObject([{ type: 'member', seq: 2, member: { name: '小红', role: 'member' } }]);
    const rooms = async (client: ChatClient) =>
      (await fetch(`${server.url}/api/rooms`, { headers: { cookie: client.cookie } })).json();
    expect(await rooms(teacher!)).toEqual({ rooms: [opened] });
    expect(await rooms(pupil!)).toEqual({ rooms: [{ ...opened, code: '' }] });
    for (const client of [teacher!, pupil!]) client.close();
  });

  it('talks only to pages of its own or of allowed origins', async () => {
    expect((await post('/api/session', {}, { origin: 'https://evil.example' })).status).toBe(403);
    expect(await codeOf(await post('/api/session', {}, { origin: 'null' }))).toBe('ORIGIN_FORBIDDEN');
    expect((await post('/api/session', {}, { origin: server.url })).status).toBe(200);
    expect((await post('/api/session', {}, { origin: 'https://school.example' })).status).toBe(200);
    const handshake = (origin: string) =>
      fetch(`${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { origin } }).then(({ status }) => status);
    expect(await handshake('https://evil.example')).toBe(403);
    expect(await handshake(server.url)).toBe(200);
  });

  it('refuses a socket without a session, saying so', async () => {
    await expect(
      ChatClient.connect(server.url, { cookie: 'xiaohe_session=forged' }).then(async (client) => {
        // A forged cookie gets a new session from POST; the socket must use that one, so forge it here instead.
        client.close();
        const { io } = await import('socket.io-client');
        const socket = io(server.url, { forceNew: true, transports: ['websocket'], reconnection: false });
        const error = await new Promise<Error & { data?: { code: string } }>((resolve) =>
          socket.once('connect_error', resolve),
        );
        socket.close();
        return error.data?.code;
      }),
    ).resolves.toBe('NO_SESSION');
  });

  it('says how it is', async () => {
    const health = await (await fetch(`${server.url}/health`)).json();
    expect(health).toMatchObject({
      live: true,
      ready: true,
      database: { kind: name, ok: true },
      model: { checkpoint: 'scripted 1' },
    });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    for (const metric of [
      'xiaohe_turns_total',
      'xiaohe_first_text_seconds',
      'xiaohe_replies_active',
      'xiaohe_sockets',
      'nodejs_eventloop_lag_p99_seconds',
    ])
      expect(metrics).toContain(metric);
  });

  it('serves the page with a fresh nonce and no way in for other scripts', async () => {
    const pages = await Promise.all(['/', '/classroom', '/growth'].map((path) => fetch(server.url + path)));
    const nonces = await Promise.all(
      pages.map(async (page) => {
        expect(page.status).toBe(200);
        const policy = page.headers.get('content-security-policy')!;
        const nonce = /script-src 'self' 'nonce-([^']+)'/.exec(policy)?.[1];
        expect(policy).toContain("require-trusted-types-for 'script'");
        expect(policy).not.toMatch(/script-src[^;]*unsafe/);
        expect(page.headers.get('x-content-type-options')).toBe('nosniff');
        const html = await page.text();
        expect(html).not.toContain('__CSP_NONCE__');
        expect(html).toContain(`nonce="${nonce}"`);
        return nonce;
      }),
    );
    expect(new Set(nonces).size).toBe(pages.length);
    expect((await fetch(`${server.url}/../package.json`)).status).toBe(404);
    expect((await fetch(`${server.url}/nothing-here`)).status).toBe(404);
  });

  it('answers messages sent before the model is loaded, and says why when it never is', async () => {
    await server.close(0);
    let load!: () => void;
    const gate = new Promise<void>((resolve) => {
      load = resolve;
    });
    const { startServer } = await import('../../server/main.ts');
    server = await startServer(database.config, { openMind: () => gate.then(scriptedMind()) });
    const client = await ChatClient.connect(server.url);
    await client.join();
    const { id } = await client.send('早到');
    const waiting = await fetch(`${server.url}/health`);
    expect([waiting.status, ((await waiting.json()) as { reason: { code: string } }).reason.code]).toEqual([
      503,
      'MODEL_LOADING',
    ]);
    load();
    expect((await client.reply(id)).text).toBe('回声：早到');
    client.close();
    await server.close();

    server = await startServer({ ...database.config, checkpoint: '/nowhere', logLevel: 'silent' });
    await expect(server.ready).rejects.toMatchObject({ code: 'CHECKPOINT_MISSING' });
    const broken = await ChatClient.connect(server.url, { cookie: client.cookie });
    await broken.join();
    const failed = await broken.reply((await broken.send('在吗')).id);
    expect(failed.generation).toMatchObject({ status: 'failed', error: { code: 'CHECKPOINT_MISSING' } });
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({
      ready: false,
      reason: { code: 'CHECKPOINT_MISSING' },
    });
    broken.close();
  });
});
