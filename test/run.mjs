/**
 * `npm test`: installs and builds, makes sure a browser and a PostgreSQL are here, runs every test, and ends with one
 * plain line of counts. Arguments go to Vitest: `npm test -- test/unit`, `npm test -- --project db`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RESULTS = join(tmpdir(), `xiaohe-test-${process.pid}.json`);

/** Debian packages by what they provide. The fonts make Chinese screenshots readable. */
const NEEDS = [
  { package: 'chromium', here: () => existsSync('/usr/bin/chromium') || Boolean(process.env.CHROMIUM_PATH) },
  { package: 'postgresql', here: hasPostgres },
  {
    package: 'fonts-noto-cjk',
    here: () => existsSync('/usr/share/fonts/opentype/noto') || !existsSync('/usr/bin/apt-get'),
  },
];

function hasPostgres() {
  if (process.env.PG_BIN) return existsSync(join(process.env.PG_BIN, 'initdb'));
  const base = '/usr/lib/postgresql';
  return existsSync(base) && readdirSync(base).some((version) => existsSync(join(base, version, 'bin/initdb')));
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options }).status ?? 1;
}

function provideSystemPackages() {
  const missing = NEEDS.filter((need) => !need.here()).map((need) => need.package);
  if (missing.length === 0) return;
  const list = missing.join(' ');
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    console.log(`installing ${list} with apt-get …`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] };
    run('apt-get', ['update', '-q'], quiet);
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], quiet);
  }
  const still = NEEDS.filter((need) => !need.here()).map((need) => need.package);
  if (still.length === 0) return;
  console.error(
    `[TEST_NEEDS] 测试还需要：${still.join(' ')}。请安装（Debian：sudo apt-get install ${still.join(' ')}），或用 CHROMIUM_PATH / PG_BIN 指定位置。\n` +
      `[TEST_NEEDS] The tests also need: ${still.join(' ')}. Install them (Debian: sudo apt-get install ${still.join(' ')}), or say where they are with CHROMIUM_PATH / PG_BIN.`,
  );
  process.exit(1);
}

if (run(process.execPath, ['server/start.mjs', '--build-only']) !== 0) process.exit(1);
provideSystemPackages();
const status = run(process.execPath, [
  'node_modules/vitest/vitest.mjs',
  'run',
  '--config',
  'test/vitest.config.ts',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${RESULTS}`,
  ...process.argv.slice(2),
]);
if (existsSync(RESULTS)) {
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(RESULTS, 'utf8'));
  rmSync(RESULTS);
  console.log(`\n${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`);
}
process.exit(status);
