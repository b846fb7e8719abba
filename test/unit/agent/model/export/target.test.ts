/** An export is there whole or not at all, never overwrites unasked, and leaves nothing behind when it fails. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { exportGguf, exportHuggingFace } from '../../../../../agent/model/export/index.ts';
import { checkpoint } from '../seedling.ts';

let parent: string;
let folder: string;
beforeAll(() => {
  parent = mkdtempSync(join(tmpdir(), 'xiaohe-target-'));
});
beforeEach(() => {
  folder = mkdtempSync(join(parent, 'case-'));
});
afterAll(() => rmSync(parent, { recursive: true }));

const refused = (code: string) => expect.objectContaining({ name: 'ModelError', code });
/** Stops an export once half of its bytes are written. */
function halfway(what: 'abort' | 'fail') {
  const controller = new AbortController();
  const progress = (done: number, total: number) => {
    if (done < total / 2) return;
    if (what === 'fail') throw new Error('the disk went away');
    controller.abort();
  };
  return { signal: controller.signal, progress };
}

describe('a GGUF file', () => {
  it('is not overwritten unasked', async () => {
    const path = join(folder, 'x.gguf');
    writeFileSync(path, 'mine');
    await expect(exportGguf(checkpoint, path)).rejects.toEqual(refused('EXPORT_EXISTS'));
    expect(readFileSync(path, 'utf8')).toBe('mine');
    await exportGguf(checkpoint, path, { force: true });
    expect(readFileSync(path).toString('latin1', 0, 4)).toBe('GGUF');
    expect(readdirSync(folder)).toEqual(['x.gguf']);
  });

  it('never replaces a directory', async () => {
    await expect(exportGguf(checkpoint, folder, { force: true })).rejects.toEqual(refused('EXPORT_EXISTS'));
  });

  it.each(['abort', 'fail'] as const)('leaves nothing behind on %s', async (what) => {
    const path = join(folder, 'x.gguf');
    writeFileSync(path, 'mine');
    await expect(exportGguf(checkpoint, path, { force: true, ...halfway(what) })).rejects.toThrow();
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect(readdirSync(folder)).toEqual(['x.gguf']);
  });

  it('says where it cannot write', async () => {
    const path = join(folder, 'no', 'such', 'x.gguf');
    await expect(exportGguf(checkpoint, path)).rejects.toEqual(refused('EXPORT_FAILED'));
    const file = join(folder, 'file');
    writeFileSync(file, '');
    await expect(exportGguf(checkpoint, join(file, 'x.gguf'))).rejects.toEqual(refused('EXPORT_FAILED'));
    expect(readdirSync(folder)).toEqual(['file']);
  });
});

describe('a Hugging Face directory', () => {
  it('is not written into what is there unasked', async () => {
    const target = join(folder, 'hf');
    mkdirSync(target);
    writeFileSync(join(target, 'notes.txt'), 'mine');
    await expect(exportHuggingFace(checkpoint, target)).rejects.toEqual(refused('EXPORT_EXISTS'));
    expect(readdirSync(target)).toEqual(['notes.txt']);
    writeFileSync(join(folder, 'file'), '');
    await expect(exportHuggingFace(checkpoint, join(folder, 'file'), { force: true })).rejects.toEqual(
      refused('EXPORT_EXISTS'),
    );
  });

  it('never replaces the checkpoint it comes from', async () => {
    const before = readdirSync(checkpoint.directory);
    await expect(exportHuggingFace(checkpoint, checkpoint.directory, { force: true })).rejects.toEqual(
      refused('EXPORT_EXISTS'),
    );
    expect(readdirSync(checkpoint.directory)).toEqual(before);
  });

  it('takes an empty directory', async () => {
    const target = join(folder, 'hf');
    mkdirSync(target);
    await exportHuggingFace(checkpoint, target);
    expect(existsSync(join(target, 'model.safetensors'))).toBe(true);
    expect(readdirSync(folder)).toEqual(['hf']);
  });

  it('replaces an earlier export, its shards too, and nothing else', async () => {
    const target = join(folder, 'hf');
    await exportHuggingFace(checkpoint, target, { maxShardBytes: 9e6 });
    writeFileSync(join(target, 'notes.txt'), 'mine');
    expect(readdirSync(target).filter((name) => name.startsWith('model-')).length).toBeGreaterThan(2);
    await exportHuggingFace(checkpoint, target, { force: true });
    const names = readdirSync(target);
    expect(names.filter((name) => name.startsWith('model'))).toEqual(['model.safetensors']);
    expect(readFileSync(join(target, 'notes.txt'), 'utf8')).toBe('mine');
  });

  it.each(['abort', 'fail'] as const)('leaves nothing behind on %s', async (what) => {
    await expect(exportHuggingFace(checkpoint, join(folder, 'hf'), halfway(what))).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
    await expect(exportHuggingFace(checkpoint, join(folder, 'no', 'hf'))).rejects.toEqual(refused('EXPORT_FAILED'));
  });
});
