/**
 * libtensorflow as a backend. Two ways to have it: `npm run setup:tensorflow` builds the add-on against the library of a
 * current TensorFlow release (today's CUDA and GPUs), and the optional package `@tensorflow/tfjs-node-gpu` brings its own
 * (TensorFlow 2.9, CUDA 11.2), where its download succeeded. The first that is there is used; what it computes on is asked.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { activate, firstLine, type StartedBackend, unavailable } from './backend.ts';
import { mayHaveCuda } from './device-nodes.ts';

const PACKAGE = '@tensorflow/tfjs-node-gpu';
/** Where `setup-tensorflow.mjs` builds, under the project's root. */
const FOLDER = '.xiaohe/tensorflow';
/** Written last by `setup-tensorflow.mjs`: only a finished build is used. */
const MARK = 'ready.json';

/** What the package registers; it is optional, so its types may not be here. */
interface NodeBackend {
  isUsingGpuDevice?: boolean;
  binding?: { TF_Version?: string };
}

export async function startTensorflow(gpuOnly: boolean): Promise<StartedBackend> {
  if (gpuOnly && !mayHaveCuda()) throw unavailable('no CUDA device on this machine');
  const built = findBuild(dirname(fileURLToPath(import.meta.url)));
  if (gpuOnly && built && !built.gpu)
    throw unavailable('the library that was set up is the CPU one (set up with --gpu)');
  try {
    if (built) await import(built.entry);
    else await import(PACKAGE as string);
  } catch (cause) {
    const hint = built ? `${built.entry} does not load` : `${PACKAGE} does not load, and setup:tensorflow was not run`;
    throw unavailable(`${hint}: ${firstLine(cause)}`, cause);
  }
  await activate('tensorflow');
  const { isUsingGpuDevice: gpu = false, binding } = tf.backend() as NodeBackend;
  const library = `libtensorflow ${binding?.TF_Version ?? ''}`.trim();
  const device = gpu ? `${library} (CUDA GPU, fp32)` : `${library} (CPU, fp32; no CUDA device in use)`;
  if (gpuOnly && !gpu) throw unavailable(`tensorflow has no GPU: ${device}`);
  // Left to itself the library takes one thread a core.
  return { info: { name: 'tensorflow', device, gpu, threads: availableParallelism() }, check() {}, close() {} };
}

/** The build of `setup-tensorflow.mjs` in the nearest folder upwards that has one. */
function findBuild(from: string): { entry: string; gpu: boolean } | undefined {
  const folder = join(from, FOLDER);
  if (existsSync(join(folder, MARK))) {
    const { gpu } = JSON.parse(readFileSync(join(folder, MARK), 'utf8')) as { gpu: boolean };
    const entry = createRequire(join(folder, 'package.json')).resolve(PACKAGE);
    return { entry: pathToFileURL(entry).href, gpu };
  }
  return dirname(from) === from ? undefined : findBuild(dirname(from));
}
