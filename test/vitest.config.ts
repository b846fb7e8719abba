/**
 * One configuration, four projects: `unit` (pure and fast, in parallel), `db` (PGlite and PostgreSQL), `e2e` (the real
 * server, the real model, a real browser) and `chaos` (processes killed and restarted). The last three start servers, so
 * they run one file at a time.
 */
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

/** Two browsers and a server on two cores: generous, because a slow machine is not a failed test. */
const SLOW_MS = 120_000;

function project(name: string, parallel: boolean, timeout: number) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      fileParallelism: parallel,
      testTimeout: timeout,
      hookTimeout: timeout,
    },
  };
}

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  plugins: [svelte({ configFile: false })],
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      project('unit', true, 60_000),
      project('db', false, SLOW_MS),
      project('chaos', false, SLOW_MS),
      project('e2e', false, SLOW_MS),
    ],
  },
});
