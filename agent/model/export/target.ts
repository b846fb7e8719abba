/**
 * Where an export goes: written under another name beside its place and renamed when complete, so that nobody ever finds
 * half a file there. Errors carry EXPORT_EXISTS or EXPORT_FAILED.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ModelError } from '../types.ts';

export interface ExportOptions {
  /** Overwrite what is there. */
  force?: boolean;
  /** Stops the export and removes what was written. */
  signal?: AbortSignal;
  /** Called as bytes are written. */
  progress?: (done: number, total: number) => void;
}

/** Writes one file whole or not at all. */
export async function writeFileWhole(
  target: string,
  options: ExportOptions,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const path = resolve(target);
  await guarded(path, async () => {
    const found = await kindOf(path);
    if (found === 'directory') throw new ModelError('EXPORT_EXISTS', `${path} is a directory`);
    if (found && !options.force) throw new ModelError('EXPORT_EXISTS', `${path} exists`);
    const scratch = beside(path);
    try {
      const file = await open(scratch, 'wx');
      try {
        await write(file);
        await file.sync();
      } finally {
        await file.close();
      }
      options.signal?.throwIfAborted();
      await rename(scratch, path);
    } catch (error) {
      await rm(scratch, { force: true });
      throw error;
    }
  });
}

/**
 * Fills a directory. A new one appears whole or not at all; with `force` an existing one gets the new files one by one,
 * `replaces` names those of an earlier export that must not stay, and everything else in it is left alone.
 */
export async function writeDirectoryWhole(
  target: string,
  options: ExportOptions,
  replaces: (name: string) => boolean,
  write: (scratch: string) => Promise<void>,
): Promise<void> {
  const path = resolve(target);
  await guarded(path, async () => {
    const found = await kindOf(path);
    if (found === 'file') throw new ModelError('EXPORT_EXISTS', `${path} is a file`);
    const before = found ? await readdir(path) : [];
    if (before.length > 0 && !options.force) throw new ModelError('EXPORT_EXISTS', `${path} is not empty`);
    const scratch = beside(path);
    try {
      await mkdir(scratch);
      await write(scratch);
      options.signal?.throwIfAborted();
      if (before.length === 0) {
        // Renaming over an empty directory is one step on POSIX; elsewhere the empty one has to go first.
        if (found) await rmdir(path);
        await rename(scratch, path);
        return;
      }
      const written = await readdir(scratch);
      for (const name of before.filter((name) => replaces(name) && !written.includes(name)))
        await rm(join(path, name), { recursive: true });
      for (const name of written) {
        if ((await kindOf(join(path, name))) === 'directory') await rm(join(path, name), { recursive: true });
        await rename(join(scratch, name), join(path, name));
      }
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

/** A hidden name in the same folder: renaming within one file system is atomic. */
function beside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.partial`);
}

async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What the file system refuses becomes a coded error; an abort and our own errors pass. */
async function guarded(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (typeof (cause as NodeJS.ErrnoException).syscall !== 'string') throw cause;
    throw new ModelError('EXPORT_FAILED', `cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Pieces into a file, in order, counting them for `progress`. */
export class Writer {
  readonly #file: FileHandle;
  readonly #options: ExportOptions;
  readonly #total: number;
  /** Bytes written so far. */
  done = 0;
  constructor(file: FileHandle, total: number, options: ExportOptions) {
    this.#file = file;
    this.#options = options;
    this.#total = total;
  }
  async write(piece: Uint8Array): Promise<void> {
    this.#options.signal?.throwIfAborted();
    if (piece.length === 0) return;
    for (let at = 0; at < piece.length; ) at += (await this.#file.write(piece, at)).bytesWritten;
    this.done += piece.length;
    this.#options.progress?.(this.done, this.#total);
  }
}
