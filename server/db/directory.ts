/**
 * The data directory: made, checked writable, and held by one process at a time. Two processes on one embedded database
 * would destroy it, so the second is refused.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import lockfile from 'proper-lockfile';
import { AppError, codeOf } from '../errors.ts';

/** A lock not refreshed for this long belongs to a process that is gone or asleep. */
const STALE_MS = 30_000;
const REFRESH_MS = 5_000;
/** A killed process with a model in memory takes a moment to be gone; whoever restarts it at once is not refused. */
const DYING_MS = 3_000;
const DYING_POLL_MS = 100;

export interface HeldDirectory {
  release(): Promise<void>;
}

/**
 * Throws DATA_DIR_READONLY, DISK_FULL or SECOND_PROCESS. `onLost` is called if another process took the directory over
 * while this one was asleep for longer than the lock lives.
 */
export async function holdDirectory(directory: string, onLost: (error: Error) => void): Promise<HeldDirectory> {
  const owner = join(directory, 'process.pid');
  const options = {
    lockfilePath: join(directory, 'process.lock'),
    stale: STALE_MS,
    update: REFRESH_MS,
    onCompromised: onLost,
  };
  try {
    // Conversations of children live here: nobody else on the machine reads them.
    mkdirSync(dirname(directory), { recursive: true });
    // Not recursive itself: where the system forbids it (/proc, some mounts), Node's recursive form never returns.
    if (!existsSync(directory)) mkdirSync(directory, { mode: 0o700 });
    const release = await lock(directory, owner, options);
    writeFileSync(owner, String(process.pid));
    return {
      async release() {
        rmSync(owner, { force: true });
        await release().catch(() => undefined);
      },
    };
  } catch (error) {
    if (error instanceof AppError) throw error;
    const code = codeOf(error);
    throw new AppError(code === 'INTERNAL' ? 'DATA_DIR_READONLY' : code, `data directory ${directory}`, {
      cause: error,
    });
  }
}

async function lock(directory: string, owner: string, options: lockfile.LockOptions & { lockfilePath: string }) {
  try {
    return await lockfile.lock(directory, options);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ELOCKED') throw error;
    const deadline = Date.now() + DYING_MS;
    while (isAlive(ownerOf(owner)) && Date.now() < deadline) await sleep(DYING_POLL_MS);
    if (isAlive(ownerOf(owner)))
      throw new AppError('SECOND_PROCESS', `${directory} is held by process ${ownerOf(owner)}`, { cause: error });
    // The holder was killed; waiting for its lock to go stale would keep a restart out for half a minute.
    rmSync(options.lockfilePath, { recursive: true, force: true });
    return await lockfile.lock(directory, options).catch((cause: unknown) => {
      throw new AppError('SECOND_PROCESS', `${directory} was taken by another process`, { cause });
    });
  }
}

function ownerOf(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return Number.NaN;
  }
}

/** An unreadable owner counts as alive: refusing is safe, sharing is not. */
function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as { code?: unknown }).code !== 'ESRCH';
  }
}

/** Killed but not yet collected by its parent, as happens in containers without an init process. */
function isZombie(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('Z') ?? false;
  } catch {
    return false;
  }
}
