/**
 * The peers we are measured beside: node-llama-cpp and llama.cpp's own C loop. Each runs in a process of its own that
 * answers one JSON line a request, so that both sides can take turns. Neither is a dependency of the app: node-llama-cpp is
 * installed on demand into a folder git ignores, llama-cpp-python is built only when asked for (`--setup-peers`).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Compiled files lie one folder deeper, under `dist/`. */
export const ROOT = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../..' : '../../..', import.meta.url));
const SOURCES = join(ROOT, 'test/bench/peers');
export const PEERS_FOLDER = join(ROOT, '.xiaohe/bench-peers');
const VENV = join(PEERS_FOLDER, 'python');
/** A peer that has not answered by then is stuck, milliseconds. The slowest request is a decode of 30 sequences. */
const ANSWER_MS = 30_000;

export type Answer = Record<string, unknown>;

export class Peer {
  readonly name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  #settle: ((answer: Answer | Error) => void) | undefined;

  constructor(name: string, command: string, args: string[], cwd: string) {
    this.name = name;
    this.#child = spawn(command, args, { cwd });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      // Libraries print to stdout now and then; only our lines are JSON objects.
      if (line.startsWith('{')) this.#settle?.(JSON.parse(line) as Answer);
    });
    let complaints = '';
    this.#child.stderr.on('data', (chunk) => {
      complaints = `${complaints}${chunk}`.slice(-400);
    });
    this.#child.stdin.on('error', () => {});
    this.#child.on('error', (error) => this.#settle?.(error));
    this.#child.on('exit', (code) => this.#settle?.(new Error(`${name} ended (code ${code}): ${complaints.trim()}`)));
  }

  async ask(request: Answer): Promise<Answer> {
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<Answer | Error>((resolve) => {
      this.#settle = resolve;
      timer = setTimeout(() => {
        // A late answer would be taken for the next one's: this peer is done.
        this.#child.kill('SIGKILL');
        resolve(new Error(`${this.name} did not answer ${request.do} within ${ANSWER_MS / 1_000} s`));
      }, ANSWER_MS);
      if (this.#child.exitCode !== null || this.#child.killed) resolve(new Error(`${this.name} is gone`));
      this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    });
    clearTimeout(timer);
    if (answer instanceof Error) throw answer;
    if (answer.error !== undefined) throw new Error(`${this.name}: ${answer.error}`);
    return answer;
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }
}

const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

function run(command: string, args: string[], cwd: string): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ ok: false, output: String(error) }));
    child.on('close', (code) => resolve({ ok: code === 0, output }));
  });
}

/** The package with this machine's CPU binary; its CUDA and Vulkan packages are 600 MB nobody here would load. */
function binaryPackage(): string {
  const system = { linux: 'linux', darwin: 'mac', win32: 'win' }[process.platform as string] ?? process.platform;
  const suffix = system === 'mac' && process.arch === 'arm64' ? '-metal' : '';
  return `@node-llama-cpp/${system}-${process.arch}${suffix}`;
}

/** Installs node-llama-cpp if it is missing. Returns why not, or nothing. */
async function installNodePeer(): Promise<string | undefined> {
  mkdirSync(PEERS_FOLDER, { recursive: true });
  const files = ['package.json', 'package-lock.json', 'node_llama.mjs'];
  for (const file of files) copyFileSync(join(SOURCES, file), join(PEERS_FOLDER, file));
  const binary = binaryPackage();
  if (existsSync(join(PEERS_FOLDER, 'node_modules', binary, 'package.json'))) return undefined;
  say(`installing node-llama-cpp into ${PEERS_FOLDER} (once, about 85 MB)`);
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const quiet = ['--ignore-scripts', '--omit=optional', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const { dependencies } = JSON.parse(readFileSync(join(SOURCES, 'package.json'), 'utf8')) as {
    dependencies: { 'node-llama-cpp': string };
  };
  const { ok, output } = await run(
    npm,
    ['install', ...quiet, `${binary}@${dependencies['node-llama-cpp']}`],
    PEERS_FOLDER,
  );
  return ok ? undefined : `node-llama-cpp could not be installed: ${output.trim().split('\n').at(-1)}`;
}

/** Builds llama-cpp-python in a virtual environment; about ten minutes on two cores. */
export async function setUpPeers(): Promise<void> {
  const problem = await installNodePeer();
  if (problem) say(problem);
  const python = join(VENV, 'bin/python');
  say('building llama-cpp-python (about ten minutes on two cores)');
  for (const [command, args] of [
    ['python3', ['-m', 'venv', VENV]],
    [python, ['-m', 'pip', 'install', '--quiet', '-r', join(SOURCES, 'requirements.txt')]],
  ] as const) {
    const { ok, output } = await run(command, [...args], ROOT);
    if (!ok) {
      say(`${command} ${args.join(' ')} failed:\n${output.slice(-2_000)}`);
      process.exitCode = 1;
      return;
    }
  }
  say('both peers are ready');
}

/** A peer that answers, or the reason why there is none. */
export type Opened = { peer: Peer; system: string } | { missing: string };

async function opened(peer: Peer, request: Answer): Promise<Opened> {
  try {
    return { peer, system: String((await peer.ask({ do: 'open', ...request })).system ?? '') };
  } catch (error) {
    peer.close();
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

export async function openNodePeer(request: Answer): Promise<Opened> {
  const problem = await installNodePeer();
  if (problem) {
    say(problem);
    return { missing: problem };
  }
  return opened(
    new Peer('node-llama-cpp', process.execPath, [join(PEERS_FOLDER, 'node_llama.mjs')], PEERS_FOLDER),
    request,
  );
}

/** `python`: an interpreter that has llama_cpp and numpy; absent, the one `--setup-peers` made. */
export async function openLoopPeer(request: Answer, python = join(VENV, 'bin/python')): Promise<Opened> {
  if (!existsSync(python)) {
    const missing =
      'no llama-cpp-python here: build it with --setup-peers, or name a Python that has it (--llama-python)';
    say(missing);
    return { missing };
  }
  return opened(new Peer('llama.cpp C loop', python, [join(SOURCES, 'llama_loop.py')], ROOT), request);
}
