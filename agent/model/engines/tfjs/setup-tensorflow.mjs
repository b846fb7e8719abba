/**
 * npm run setup:tensorflow [-- --gpu]
 *
 * TensorFlow.js's Node add-on against the C library of a current TensorFlow release. The package itself downloads
 * TensorFlow 2.9 (CUDA 11.2), which today's GPUs do not know; the library inside PyPI's wheel exports the same C API.
 * So: the package's JavaScript and C++ from npm (without its download), library and headers out of the wheel, one call of
 * the C++ compiler. `--gpu` takes the CUDA build and NVIDIA's CUDA libraries from PyPI; only a driver must be installed.
 *
 * Needs Linux on x86-64 and a C++ compiler. Everything lies in .xiaohe/tensorflow/; run again after an interruption, it
 * goes on where it stopped. Asks nothing. To undo: delete that folder.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

/** The release this was tried with. Newer ones should do: the C API only grows. */
const TENSORFLOW = '2.21.0';
const ADDON = '@tensorflow/tfjs-node-gpu';
const ADDON_VERSION = '4.22.0';
/** Node-API's headers, for machines whose Node came without them. */
const HEADERS = 'node-api-headers';
const HEADERS_VERSION = '1.9.0';
/** The Node-API version the add-on is loaded as; Node 20 has 9. */
const NAPI = 8;
const INDEX = 'https://pypi.org/simple/';
const FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), '../../../../.xiaohe/tensorflow');
const WHEELS = join(FOLDER, 'wheels');
/** Laid out as Python's site-packages, because the libraries look for each other in `../nvidia/…`. */
const SITE = join(FOLDER, 'site');
const MARK = join(FOLDER, 'ready.json');
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
/** Of the wheel: the libraries, the headers the add-on includes, and the list of CUDA packages. */
const WANTED =
  /^tensorflow\/libtensorflow_\w+\.so\.2$|^tensorflow\/include\/(tensorflow\/c|tensorflow\/core\/platform|tsl\/platform|xla\/tsl\/c)\/.*\.h$|^nvidia\/\w+\/lib\/.*\.so|\.dist-info\/METADATA$/;

const run = promisify(execFile);
// biome-ignore lint/suspicious/noConsole: a script speaks to whoever runs it
const say = (text) => console.log(text);
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

class SetupError extends Error {}

async function main() {
  const { values } = parseArgs({ options: { gpu: { type: 'boolean', default: false }, help: { type: 'boolean' } } });
  if (values.help) return say('npm run setup:tensorflow [-- --gpu]: builds TensorFlow for XIAOHE_ENGINE=tensorflow.');
  const wanted = { tensorflow: TENSORFLOW, addon: ADDON_VERSION, gpu: values.gpu };
  if (existsSync(MARK) && JSON.stringify(JSON.parse(readFileSync(MARK, 'utf8')).made) === JSON.stringify(wanted))
    return say(`TensorFlow ${TENSORFLOW} is set up already in ${FOLDER}.`);
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new SetupError(
      `this builds for Linux on x86-64 only; on ${process.platform}-${process.arch} use webgpu or cpu`,
    );
  const compiler = ['c++', 'g++', 'clang++'].find((name) => spawnSync(name, ['--version']).status === 0);
  if (!compiler) throw new SetupError('no C++ compiler: install one (Debian: apt-get install g++)');

  mkdirSync(WHEELS, { recursive: true });
  await rm(MARK, { force: true });
  await installAddon();
  const [library, other] = values.gpu ? ['tensorflow', 'tensorflow-cpu'] : ['tensorflow-cpu', 'tensorflow'];
  // The two builds have files of the same names.
  if (existsSync(stampOf(`${other}==${TENSORFLOW}`))) await rm(SITE, { recursive: true });
  await install(`${library}==${TENSORFLOW}`);
  if (values.gpu) for (const requirement of cudaRequirements()) await install(requirement);
  await compile(compiler);
  const answer = await tryIt();
  await writeFile(MARK, JSON.stringify({ made: wanted, gpu: values.gpu }));
  await rm(WHEELS, { recursive: true });
  say(`done: TensorFlow ${answer.version}, ${answer.gpu ? 'on a CUDA GPU' : 'on the CPU (no CUDA GPU in use)'}.`);
  if (values.gpu && !answer.gpu)
    say('the CUDA library found no usable GPU: is the NVIDIA driver installed (nvidia-smi)?');
  say('start with XIAOHE_ENGINE=tensorflow; with a GPU, auto takes it by itself.');
}

async function installAddon() {
  const began = performance.now();
  await writeFile(join(FOLDER, 'package.json'), JSON.stringify({ private: true }));
  const packages = [`${ADDON}@${ADDON_VERSION}`, `${HEADERS}@${HEADERS_VERSION}`];
  say(`1/4 ${packages.join(', ')} from npm …`);
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quiet, ...packages], { cwd: FOLDER });
  say(`    ${seconds(began)}`);
}

/** Says that a requirement lies unpacked in SITE. */
const stampOf = (requirement) => join(SITE, `${requirement.replace(/[^\w.-]+/g, '_')}.unpacked`);

/** One Python requirement, `name==version` or `name<x,>=y`, unpacked into SITE. */
async function install(requirement) {
  const began = performance.now();
  const stamp = stampOf(requirement);
  if (existsSync(stamp)) return say(`2/4 ${requirement}: here already`);
  say(`2/4 ${requirement} from PyPI …`);
  const folder = join(WHEELS, requirement.replace(/[^\w.-]+/g, '_'));
  mkdirSync(folder, { recursive: true });
  await download(requirement, folder);
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  // The add-on's own dependency; a wheel is a zip.
  const AdmZip = createRequire(join(FOLDER, 'package.json'))('adm-zip');
  const zip = new AdmZip(join(folder, wheel));
  for (const entry of zip.getEntries())
    if (!entry.isDirectory && WANTED.test(entry.entryName)) zip.extractEntryTo(entry, SITE, true, true);
  await rm(folder, { recursive: true });
  await writeFile(stamp, wheel);
  say(`    ${wheel}, ${seconds(began)}`);
}

/** By pip where there is one, because it knows this machine's index, proxy and certificates; else from PyPI itself. */
async function download(requirement, folder) {
  const python = ['python3', 'python'].find((name) => spawnSync(name, ['-m', 'pip', '--version']).status === 0);
  if (python) {
    // Any Python's wheel has the same library; the newest is sure to be there whatever Python this machine has.
    const any = [
      '--no-deps',
      '--only-binary=:all:',
      '--python-version=3.12',
      '--abi=cp312',
      '--abi=none',
      '--abi=abi3',
    ];
    const platforms = ['2_17', '2_27', '2_28', '2014'].map(
      (glibc) => `--platform=manylinux${glibc === '2014' ? '' : '_'}${glibc}_x86_64`,
    );
    const args = ['-m', 'pip', 'download', '--quiet', ...any, ...platforms, '--dest', folder, requirement];
    try {
      return await run(python, args);
    } catch (cause) {
      say(`    pip could not (${String(cause.stderr).trim().split('\n').at(-1)}); asking PyPI directly …`);
    }
  }
  const [, name] = /^([\w.-]+?)(?=[<>=])/.exec(requirement);
  const answer = await fetch(`${INDEX}${name}/`, { headers: { accept: 'application/vnd.pypi.simple.v1+json' } });
  if (!answer.ok) throw new SetupError(`${INDEX}${name}/ answered ${answer.status}`);
  const { files } = await answer.json();
  const file = files
    .filter(({ filename, yanked }) => !yanked && /(cp312-cp312|py3-none)-manylinux\w*_x86_64/.test(filename))
    .map((candidate) => ({ ...candidate, version: candidate.filename.split('-')[1] }))
    .filter(({ version }) => /^[\d.]+$/.test(version) && satisfies(version, requirement.slice(name.length)))
    .sort((a, b) => compare(a.version, b.version))
    .at(-1);
  if (!file) throw new SetupError(`${INDEX}${name}/ has no wheel for ${requirement}`);
  const target = join(folder, basename(file.filename));
  const body = await fetch(new URL(file.url, answer.url));
  if (!body.ok) throw new SetupError(`${file.url} answered ${body.status}`);
  await pipeline(Readable.fromWeb(body.body), createWriteStream(`${target}.part`));
  const hash = createHash('sha256');
  await pipeline(createReadStream(`${target}.part`), hash);
  if (file.hashes.sha256 && hash.digest('hex') !== file.hashes.sha256)
    throw new SetupError(`${file.filename} arrived damaged; run this again`);
  await rename(`${target}.part`, target);
}

function compare(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function satisfies(version, limits) {
  return limits.split(',').every((limit) => {
    const [, sign, bound] = /^(==|>=|<)([\d.]+)$/.exec(limit.trim());
    const order = compare(version, bound);
    return sign === '==' ? order === 0 : sign === '<' ? order < 0 : order >= 0;
  });
}

/** What the wheel says it needs for CUDA. The compiler among it is for TensorFlow's XLA, which the add-on does not use. */
function cudaRequirements() {
  const metadata = readdirSync(SITE).find(
    (name) => name.startsWith(`tensorflow-${TENSORFLOW}`) && name.endsWith('.dist-info'),
  );
  const lines = readFileSync(join(SITE, metadata, 'METADATA'), 'utf8').matchAll(
    /^Requires-Dist: (nvidia-\S+); extra == "and-cuda"/gm,
  );
  return Array.from(lines, ([, requirement]) => requirement).filter((name) => !name.startsWith('nvidia-cuda-nvcc'));
}

async function compile(compiler) {
  const began = performance.now();
  say(`3/4 the add-on, with ${compiler} …`);
  const require = createRequire(join(FOLDER, 'package.json'));
  const home = join(FOLDER, 'node_modules', ADDON);
  const output = join(home, `lib/napi-v${NAPI}/tfjs_binding.node`);
  mkdirSync(dirname(output), { recursive: true });
  const library = join(SITE, 'tensorflow');
  const { include_dir: nodeApi } = require(HEADERS);
  await run(compiler, [
    ...['-std=c++17', '-O2', '-fPIC', '-shared', '-w', `-DNAPI_VERSION=${NAPI}`],
    ...[`-I${nodeApi}`, `-I${join(library, 'include')}`],
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(home, 'binding', name)),
    ...LIBRARIES.map((name) => join(library, name)),
    // Relative, so that the folder can be moved with the project.
    ...['-Wl,-rpath,$ORIGIN/../../../../../site/tensorflow', '-o', `${output}.part`],
  ]);
  await rename(`${output}.part`, output);
  say(`    ${seconds(began)}`);
}

/** A product on the new add-on, in a process of its own: what does not load may crash. */
async function tryIt() {
  say('4/4 trying it …');
  const script = `const tf = require('${ADDON}');
    const y = tf.matMul(tf.ones([64, 64]), tf.ones([64, 64])).dataSync();
    if (!y.every((value) => value === 64)) throw new Error('a product came out wrong');
    const { isUsingGpuDevice: gpu, binding } = tf.backend();
    console.log(JSON.stringify({ gpu, version: binding.TF_Version }));`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: FOLDER });
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

main().catch((error) => {
  console.error(`setup:tensorflow: ${error instanceof SetupError ? error.message : error.stderr || error.stack}`);
  process.exitCode = 1;
});
