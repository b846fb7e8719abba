/**
 * `npm start`: from a fresh clone to a running server with no question asked. Installs what is missing, builds what is
 * stale, then hands over to the compiled `server/main`. Plain JavaScript, because it runs before anything is installed.
 *
 *   node server/start.mjs                start
 *   node server/start.mjs --build-only   install and build, then exit (`--quiet`: say nothing when all is fresh)
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FLAGS = new Set(process.argv.slice(2));
/** Vite 8 and native `import.meta.resolve` need at least this. */
const NODE_MINIMUM = [20, 19];

/** What each build step reads; a step runs only when the content under these paths changed. */
const STEPS = [
  {
    name: 'server',
    reads: ['server', 'agent', 'test', 'tsconfig.json'],
    writes: 'dist/server/main.js',
    run: () => node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'),
  },
  {
    name: 'kernels',
    reads: ['agent/model/engines/cpu'],
    writes: 'dist/agent/model/engines/cpu/kernels.wasm',
    run: () => node('agent/model/engines/cpu/build.mjs'),
  },
  {
    name: 'client',
    reads: ['client', 'server/protocol.ts'],
    writes: 'dist/page/index.html',
    run: () => node('node_modules/vite/bin/vite.js', 'build', 'client', '--logLevel', 'warn'),
  },
];
/** Folders that hold no TypeScript: weights, the Python recipe. Hashing megabytes of weights would slow every start. */
const NOT_SOURCE = new Set(['checkpoints', 'pretrain', 'node_modules', '__pycache__', '__snapshots__']);

function say(zh, en) {
  if (!FLAGS.has('--quiet')) console.log(`小禾  ${zh}  ·  ${en}`);
}

function fail(code, zh, en) {
  console.error(`\n[${code}] ${zh}\n[${code}] ${en}\n`);
  process.exit(1);
}

/** Runs a child to its end; its output appears only when it fails, so a good start stays readable. */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ ok: false, output: String(error) }));
    child.on('close', (status) => resolve({ ok: status === 0, output }));
  });
}

function node(...args) {
  return run(process.execPath, args);
}

function npm(...args) {
  // npm hands its own path to the scripts it runs; started by hand, `npm` from the PATH must do.
  const own = process.env.npm_execpath;
  if (own?.endsWith('.js')) return node(own, ...args);
  return run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args);
}

function* filesUnder(path) {
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (entry.name.startsWith('.') || NOT_SOURCE.has(entry.name)) continue;
    const full = join(path, entry.name);
    if (entry.isDirectory()) yield* filesUnder(full);
    else yield full;
  }
}

function fingerprint(paths) {
  const hash = createHash('sha256').update(process.version);
  for (const path of paths) {
    const full = join(ROOT, path);
    if (!existsSync(full)) continue;
    const files = /\.[a-z]+$/.test(path) ? [full] : filesUnder(full);
    for (const file of files) hash.update(relative(ROOT, file)).update('\0').update(readFileSync(file));
  }
  return hash.digest('hex');
}

function readStamp(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

async function install() {
  const stamp = join(ROOT, 'node_modules/.xiaohe-installed');
  const wanted = fingerprint(['package.json', 'package-lock.json']);
  if (readStamp(stamp) === wanted) return;
  say('正在安装依赖（第一次约一两分钟）…', 'installing packages (a minute or two the first time) …');
  const { ok, output } = await npm('ci', '--no-audit', '--no-fund', '--loglevel=error');
  if (!ok) {
    console.error(output);
    fail(
      'INSTALL_FAILED',
      '依赖安装失败，原因见上。请检查网络后再运行 npm start；已下载的不会重来。',
      'Installing packages failed, see above. Check the network and run npm start again; what was fetched is kept.',
    );
  }
  writeFileSync(stamp, wanted);
}

async function build() {
  const lock = fingerprint(['package-lock.json']);
  const steps = STEPS.map((step) => ({
    ...step,
    stamp: join(ROOT, `dist/.built-${step.name}`),
    wanted: fingerprint(step.reads) + lock,
  }));
  const isStale = (step) => readStamp(step.stamp) !== step.wanted || !existsSync(join(ROOT, step.writes));
  // A compile must not leave the output of deleted sources behind. The kernels lie inside, so they become stale too.
  if (isStale(steps[0]))
    for (const part of ['server', 'agent', 'test', '.tsbuildinfo'])
      rmSync(join(ROOT, 'dist', part), { recursive: true, force: true });
  const stale = steps.filter(isStale);
  if (stale.length === 0) return;
  const names = stale.map((step) => step.name).join(', ');
  say(`正在构建 ${names} …`, `building ${names} …`);
  await Promise.all(
    stale.map(async (step) => {
      rmSync(step.stamp, { force: true });
      const { ok, output } = await step.run();
      if (!ok) {
        console.error(output);
        fail('BUILD_FAILED', `构建 ${step.name} 失败，原因见上。`, `Building ${step.name} failed, see above.`);
      }
      mkdirSync(join(ROOT, 'dist'), { recursive: true });
      writeFileSync(step.stamp, step.wanted);
    }),
  );
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor < NODE_MINIMUM[1]))
  fail(
    'NODE_TOO_OLD',
    `需要 Node ${NODE_MINIMUM.join('.')} 或更新，现在是 ${process.versions.node}。请到 nodejs.org 安装。`,
    `Node ${NODE_MINIMUM.join('.')} or newer is needed, this is ${process.versions.node}. Install it from nodejs.org.`,
  );

await install();
await build();
if (!FLAGS.has('--build-only')) {
  const { main } = await import(pathToFileURL(join(ROOT, 'dist/server/main.js')).href);
  await main();
}
