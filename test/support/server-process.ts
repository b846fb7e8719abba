/**
 * The real server as a person starts it: a process of its own on a free port, with its own data folder unless one is
 * given. For browser and chaos tests and the turn benchmark. Needs a build (`npm test` and `npm run bench` make one).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project root, from `test/support` as from its compiled twin in `dist/test/support`. */
export const ROOT = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../..' : '../../..', import.meta.url));
/** Making an embedded database takes seconds, and a minute when both cores are busy. */
const BOOT_MS = 100_000;
const POLL_MS = 20;

export interface ServerProcess {
  url: string;
  dataDirectory: string;
  child: ChildProcess;
  /** What it wrote to both outputs so far. */
  output(): string;
  /** Milliseconds from the spawn to the banner that says she is ready. */
  readyMs: number;
  /** Resident memory, MiB. */
  rssMiB(): number;
  /** Sends a signal and waits for the end; null when a signal ended it. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface StartOptions {
  /** Answers with the scripted student, where a test needs a reply of a known length. */
  scripted?: boolean;
  dataDirectory?: string;
  /** The port of an earlier process, to come back as the same server. */
  port?: string;
  environment?: Record<string, string>;
  /** False returns at once, for a start that is meant to fail. */
  ready?: boolean;
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'xiaohe-'));
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

export async function startServer(options: StartOptions = {}): Promise<ServerProcess> {
  const dataDirectory = options.dataDirectory ?? temporaryFolder();
  const program = options.scripted ? 'dist/test/support/scripted-server.js' : 'dist/server/main.js';
  const began = performance.now();
  const child = spawn(process.execPath, [join(ROOT, program)], {
    env: {
      PATH: process.env.PATH ?? '',
      PORT: options.port ?? '0',
      XIAOHE_DATA_DIR: dataDirectory,
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
    });
  const server: ServerProcess = {
    url: '',
    dataDirectory,
    child,
    output: () => output,
    readyMs: 0,
    rssMiB: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024,
    async end(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      child.kill(signal);
      const [code] = (await once(child, 'exit')) as [number | null];
      return code;
    },
  };
  if (options.ready === false) return server;
  while (server.url === '') {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${output}`);
    if (performance.now() - began > BOOT_MS) throw new Error(`the server was not ready in time:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    server.url = /http:\/\/[\d.:]+/.exec(output)?.[0] ?? '';
  }
  server.readyMs = performance.now() - began;
  return server;
}
