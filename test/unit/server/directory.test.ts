/** One process holds the data directory; a dead one's lock does not keep the next out. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { holdDirectory } from '../../../server/db/directory.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'xiaohe-dir-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const ignore = () => undefined;

describe('the data directory', () => {
  it('is private, and free again after release', async () => {
    const directory = join(root, 'deep', 'data');
    const held = await holdDirectory(directory, ignore);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await held.release();
    expect(existsSync(join(directory, 'process.lock'))).toBe(false);
    await (await holdDirectory(directory, ignore)).release();
  });

  it('refuses a second process while the first lives', async () => {
    const held = await holdDirectory(root, ignore);
    await expect(holdDirectory(root, ignore)).rejects.toMatchObject({ code: 'SECOND_PROCESS' });
    await held.release();
  });

  it('takes over from a killed process at once, and from an unknown one when its lock is stale', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']);
    mkdirSync(join(root, 'process.lock'));
    writeFileSync(join(root, 'process.pid'), String(child.pid));
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (await holdDirectory(root, ignore)).release();

    mkdirSync(join(root, 'process.lock'));
    const longAgo = Date.now() / 1_000 - 3_600;
    utimesSync(join(root, 'process.lock'), longAgo, longAgo);
    await (await holdDirectory(root, ignore)).release();
  });

  it.runIf(existsSync('/proc/self'))('says when it cannot be made', async () => {
    await expect(holdDirectory('/proc/xiaohe', ignore)).rejects.toMatchObject({ code: 'DATA_DIR_READONLY' });
    writeFileSync(join(root, 'file'), '');
    await expect(holdDirectory(join(root, 'file', 'data'), ignore)).rejects.toMatchObject({
      code: 'DATA_DIR_READONLY',
    });
  });
});
