/** The compiled command line as a shell sees it: what it prints where, what it writes, how it ends. Real model, real files. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../../../../dist/server/cli/main.js', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xiaohe-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  status: number | null;
  out: string;
  err: string;
}

/** Runs to the end. `watch` sees standard output and error as they grow, and may act on the process. */
function xiaohe(
  args: string[],
  {
    input = '',
    watch,
    env = {},
  }: { input?: string; watch?: (seen: string, pid: number) => void; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, env: { ...process.env, ...env } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
      watch?.(out + err, child.pid!);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      err += text;
      watch?.(out + err, child.pid!);
    });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, out, err }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

const CPU = ['--engine', 'cpu', '--threads', '1'];

describe('generate', () => {
  const ask = ['generate', '--prompt', '你好', '--seed', '1', ...CPU];

  it('prints one JSON object and nothing else, the same for the same seed', async () => {
    const first = await xiaohe([...ask, '--json']);
    expect([first.status, first.err]).toEqual([0, '']);
    const reply = JSON.parse(first.out);
    expect(reply).toMatchObject({ seed: 1, finishReason: 'stop', engine: { name: 'cpu', gpu: false, threads: 1 } });
    expect(reply.text.length).toBeGreaterThan(0);
    expect(reply.tokens).toHaveLength(reply.usage.completionTokens);
    expect(reply.checkpoint.sha256).toMatch(/^[0-9a-f]{64}$/);
    const again = JSON.parse((await xiaohe([...ask, '--json'])).out);
    expect([again.text, again.tokens]).toEqual([reply.text, reply.tokens]);
    // As text it is the same reply, and standard input is the same prompt.
    expect((await xiaohe(ask)).out).toBe(`${reply.text}\n`);
    const piped = await xiaohe(['generate', '--prompt', '-', '--seed', '1', ...CPU], { input: '你好\n' });
    expect(piped.out).toBe(`${reply.text}\n`);
  });

  it('tells the seed it drew', async () => {
    const drawn = JSON.parse(
      (await xiaohe(['generate', '--prompt', '你好', '--temperature', '1.5', '--json', ...CPU])).out,
    );
    const again = [
      'generate',
      '--prompt',
      '你好',
      '--temperature',
      '1.5',
      '--seed',
      String(drawn.seed),
      '--json',
      ...CPU,
    ];
    expect(JSON.parse((await xiaohe(again)).out).tokens).toEqual(drawn.tokens);
  });

  it('continues raw text, bounded, with log-probabilities', async () => {
    const raw = ['--raw', '--max-tokens', '5', '--temperature', '0', '--logprobs', '3', '--json'];
    const { out } = await xiaohe(['generate', '--prompt', '春眠不觉晓，', ...raw, ...CPU]);
    const reply = JSON.parse(out);
    expect(reply.usage.completionTokens).toBeLessThanOrEqual(5);
    expect(reply.logprobs.map(({ token }: { token: number }) => token)).toEqual(reply.tokens);
    for (const { top, logprob } of reply.logprobs) {
      expect(top).toHaveLength(3);
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top[0].logprob).toBeGreaterThanOrEqual(top[2].logprob);
    }
  });

  it('keeps to a schema', async () => {
    const schema = join(folder, 'schema.json');
    writeFileSync(
      schema,
      JSON.stringify({
        type: 'object',
        properties: { mood: { enum: ['happy', 'sad'] }, sure: { type: 'boolean' } },
        required: ['mood', 'sure'],
        additionalProperties: false,
      }),
    );
    const { out, status } = await xiaohe(['generate', '--prompt', '你好', '--schema', schema, '--seed', '3', ...CPU]);
    expect(status).toBe(0);
    const value = JSON.parse(out);
    expect(['happy', 'sad']).toContain(value.mood);
    expect(typeof value.sure).toBe('boolean');
    expect(Object.keys(value)).toHaveLength(2);
  });

  it('ends before a stop text', async () => {
    const greedy = ['generate', '--prompt', '你是谁？', '--temperature', '0', ...CPU];
    const whole = (await xiaohe(greedy)).out.trim();
    const stop = [...whole][2]!;
    const cut = (await xiaohe([...greedy, '--stop', stop])).out.trim();
    expect(cut).toBe(whole.slice(0, whole.indexOf(stop)));
  });

  it('says coded errors in both languages', async () => {
    const nowhere = await xiaohe(['generate', '--prompt', '你好', '--checkpoint', join(folder, 'nowhere')]);
    expect([nowhere.status, nowhere.out]).toEqual([1, '']);
    expect(nowhere.err).toMatch(/\[CHECKPOINT_MISSING\] \p{Script=Han}/u);
    expect(nowhere.err).toMatch(/\[CHECKPOINT_MISSING\] [A-Z]/);
    const long = await xiaohe(['generate', '--prompt', '-', ...CPU], { input: '春'.repeat(5_000) });
    expect([long.status, long.out]).toEqual([1, '']);
    expect(long.err).toContain('[CONTEXT_TOO_LONG]');
    const setting = await xiaohe(['generate', '--prompt', '你好'], { env: { XIAOHE_ENGINE: 'abacus' } });
    expect([setting.status, setting.out]).toEqual([1, '']);
    expect(setting.err).toContain('[CONFIG_INVALID]');
  });
});

describe('wrong usage', () => {
  const cases: [string, string[]][] = [
    ['no command', []],
    ['an unknown command', ['dance']],
    ['an unknown option', ['info', '--loud']],
    ['no prompt', ['generate']],
    ['an empty prompt', ['generate', '--prompt', '']],
    ['a number that is none', ['generate', '--prompt', 'x', '--seed', 'one']],
    ['a fraction of a token', ['generate', '--prompt', 'x', '--max-tokens', '1.5']],
    ['a negative temperature', ['generate', '--prompt', 'x', '--temperature', '-1']],
    ['an unknown engine', ['generate', '--prompt', 'x', '--engine', 'abacus']],
    ['a missing schema', ['generate', '--prompt', 'x', '--schema', '/nowhere.json']],
    ['raw with a system message', ['generate', '--prompt', 'x', '--raw', '--system', 'y']],
    ['an export without a target', ['export']],
    ['an export with two targets', ['export', '--gguf', 'a', '--hf', 'b']],
    ['a size that is none', ['export', '--hf', 'a', '--max-shard-size', 'big']],
    ['shards of a GGUF', ['export', '--gguf', 'a', '--max-shard-size', '1MB']],
    ['an age she does not have', ['chat', '--age', '40']],
  ];
  it.each(cases)('%s ends with 2', async (_, args) => {
    const { status, out, err } = await xiaohe(args);
    expect([status, out]).toEqual([2, '']);
    expect(err).not.toBe('');
    expect(readdirSync(folder).filter((name) => name === 'a' || name === 'b')).toEqual([]);
  });

  it('help and version end with 0', async () => {
    for (const args of [['--help'], ['generate', '--help'], ['--version']]) {
      const { status, out, err } = await xiaohe(args);
      expect([status, err]).toEqual([0, '']);
      expect(out.trim()).not.toBe('');
    }
  });
});

describe('export', () => {
  it('writes a GGUF, once', async () => {
    const first = await xiaohe(['export', '--gguf', 'out.gguf']);
    expect([first.status, first.out]).toEqual([0, '']);
    expect(first.err).toMatch(/MB/);
    const path = join(folder, 'out.gguf');
    expect(readFileSync(path).toString('latin1', 0, 4)).toBe('GGUF');
    const second = await xiaohe(['export', '--gguf', 'out.gguf']);
    expect(second.status).toBe(1);
    expect(second.err).toContain('[EXPORT_EXISTS]');
    expect((await xiaohe(['export', '--gguf', 'out.gguf', '--force'])).status).toBe(0);
    expect(readdirSync(folder).filter((name) => name.includes('.partial'))).toEqual([]);
  });

  it('writes a directory that talks like the original', async () => {
    const written = await xiaohe(['export', '--hf', 'hf', '--dtype', 'float32', '--max-shard-size', '20MB']);
    expect(written.status).toBe(0);
    expect(existsSync(join(folder, 'hf', 'model.safetensors.index.json'))).toBe(true);
    const say = [
      'generate',
      '--prompt',
      '你是谁？',
      '--temperature',
      '0',
      '--max-tokens',
      '20',
      '--engine',
      'wasm',
      '--json',
    ];
    const [own, exported] = await Promise.all([xiaohe(say), xiaohe([...say, '--checkpoint', 'hf'])]);
    expect(JSON.parse(exported.out).tokens).toEqual(JSON.parse(own.out).tokens);
  });

  it('says when it cannot write', async () => {
    const { status, err } = await xiaohe(['export', '--gguf', join(folder, 'no', 'x.gguf')]);
    expect(status).toBe(1);
    expect(err).toContain('[EXPORT_FAILED]');
  });
});

describe('info', () => {
  it('tells the checkpoint and every engine, with a reason for what does not open', async () => {
    const { status, out } = await xiaohe(['info', '--json']);
    expect(status).toBe(0);
    const { checkpoint, engines } = JSON.parse(out);
    expect(checkpoint.quantisation).toBe('Q8_0');
    expect(checkpoint.activeParameters).toBeLessThan(checkpoint.parameters);
    expect(engines.map(({ name }: { name: string }) => name)).toEqual(['tensorflow', 'webgpu', 'cpu', 'wasm']);
    for (const { info, reason } of engines) expect(Boolean(info) !== Boolean(reason)).toBe(true);
    expect(engines.find(({ name }: { name: string }) => name === 'cpu').info.device).toMatch(/WebAssembly/);
  });

  it('reads as words', async () => {
    const { out } = await xiaohe(['info']);
    expect(out).toMatch(/seedling .* M \(.* M active\) · Q8_0/);
    expect(out).toMatch(/[✓✗] webgpu/);
  });
});

describe('chat', () => {
  it('answers line by line until the input ends', async () => {
    const { status, out, err } = await xiaohe(['chat', '--seed', '1', ...CPU], {
      input: '你好\n\n/help\n你是谁？\n/new\nHello\n',
    });
    expect([status, err]).toEqual([0, '']);
    const replies = out.split('\n').filter((line) => line.startsWith('小禾 ▸ '));
    expect(replies).toHaveLength(3);
    for (const reply of replies) expect(reply.length).toBeGreaterThan('小禾 ▸ '.length);
    expect(out).toContain('/exit');
  });

  it('forgets on /new: the same seed then gives the first reply again', async () => {
    const input = '你好\n/new\n你好\n/exit\n你好\n';
    const { out } = await xiaohe(['chat', '--seed', '7', ...CPU], { input });
    const [first, second, ...more] = out.trim().split('\n');
    expect(second).toBe(first);
    expect(more).toEqual([]);
  });

  it('stops a reply on Ctrl-C and goes on', async () => {
    let stopped = false;
    // So hot that she rarely ends by herself within a thousand tokens.
    const args = [
      'chat',
      '--seed',
      '1',
      '--temperature',
      '9',
      '--top-k',
      '0',
      '--top-p',
      '1',
      '--min-p',
      '0',
      '--max-tokens',
      '1000',
    ];
    const { status, out } = await xiaohe([...args, ...CPU], {
      input: '讲个故事\n你好\n',
      watch: (seen, pid) => {
        if (stopped || !/▸ .{3}/.test(seen)) return;
        stopped = true;
        process.kill(pid, 'SIGINT');
      },
    });
    expect(status).toBe(0);
    expect(out).toContain('停下了');
    expect(out.split('小禾 ▸ ')).toHaveLength(3);
  });
});

it('bench hands its options on', async () => {
  const { status, out } = await xiaohe(['bench', '--json', '--only', 'nothing-of-that-name']);
  expect(status).toBe(0);
  expect(JSON.parse(out.split('\n')[0]!).name).toBe('machine');
  expect((await xiaohe(['bench', '--no-such-option'])).status).not.toBe(0);
});
