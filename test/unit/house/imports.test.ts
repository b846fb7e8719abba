/**
 * Imports run one way: client → server/protocol.ts; server → agent → agent/model. Nothing points back, and another
 * folder is entered only by its face (`index.ts`, or a `types.ts` contract).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|svelte|mjs)$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('engines/cpu/assembly'));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)].map((match) => match[1]!);
  return specifiers.map((specifier) => relative(ROOT, join(ROOT, dirname(file), specifier)));
}

/** Which of the four layers a file belongs to; `model` lies inside `agent`. */
function layer(file: string): 'client' | 'server' | 'agent' | 'model' | 'outside' {
  if (file.startsWith('client/')) return 'client';
  if (file.startsWith('server/')) return 'server';
  if (file.startsWith('agent/model/')) return 'model';
  if (file.startsWith('agent/')) return 'agent';
  return 'outside';
}

const ALLOWED: Record<string, (target: string) => boolean> = {
  client: (target) => layer(target) === 'client' || target === 'server/protocol.ts',
  server: (target) =>
    layer(target) === 'server' || ['agent/index.ts', 'agent/types.ts', 'agent/model/index.ts'].includes(target),
  agent: (target) => layer(target) === 'agent' || target === 'agent/model/index.ts',
  model: (target) => layer(target) === 'model',
};

const files = ['client', 'server', 'agent'].flatMap(sources);

describe('import direction', () => {
  it('finds the sources it judges', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(files.flatMap(importsOf).length).toBeGreaterThan(files.length / 2);
  });

  it('runs client → protocol and server → agent → model, never back', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter((target) => !ALLOWED[layer(file)]!(target))
        .map((target) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('reads the environment in one place', () => {
    const readers = files.filter(
      (file) => /process\.env/.test(readFileSync(join(ROOT, file), 'utf8')) && !file.endsWith('.mjs'),
    );
    expect(readers.filter((file) => file !== 'server/config.ts')).toEqual([]);
  });
});
