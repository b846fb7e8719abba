/**
 * The network on TensorFlow.js, as an engine: `tensorflow` (libtensorflow through `@tensorflow/tfjs-node-gpu`) or `wasm`.
 * Says what really computes: a GPU package without a usable GPU quietly falls back to the CPU, and that is not a GPU.
 */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import type { Checkpoint } from '../../checkpoint.ts';
import { Network } from '../../network.ts';
import { type Engine, type EngineInfo, ModelError } from '../../types.ts';

export type TfjsBackend = 'tensorflow' | 'wasm';

export interface TfjsOptions {
  /** KV pages for the host. */
  pages: number;
  /** Refuse to open, before any weight is loaded, when no GPU would do the work. */
  gpuOnly: boolean;
}

/** What `@tensorflow/tfjs-node-gpu` registers; the package is optional, so its types may not be here. */
interface NodeBackend {
  isGPUPackage?: boolean;
  isUsingGpuDevice?: boolean;
}

export async function openTfjsEngine(
  backend: TfjsBackend,
  checkpoint: Checkpoint,
  { pages, gpuOnly }: TfjsOptions,
): Promise<Engine> {
  const info = backend === 'wasm' ? await startWasm() : await startTensorflow();
  if (gpuOnly && !info.gpu) throw new ModelError('ENGINE_UNAVAILABLE', `${backend} has no GPU: ${info.device}`);
  tf.enableProdMode();
  const network = new Network(checkpoint, pages);
  await network.warmUp();
  return {
    info,
    pages,
    step: (batch) => network.step(batch),
    embed: (tokens) => network.embed(tokens),
    async close() {
      network.dispose();
    },
  };
}

async function startWasm(): Promise<EngineInfo> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  const library = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(dirname(library) + sep);
  await start('wasm');
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  // The package switches its threads off under Node, whatever is asked for.
  return { name: 'wasm', device: `wasm (1 thread, ${simd ? 'SIMD, ' : ''}fp32)`, gpu: false, threads: 1 };
}

async function startTensorflow(): Promise<EngineInfo> {
  const optional = '@tensorflow/tfjs-node-gpu';
  try {
    await import(optional);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new ModelError('ENGINE_UNAVAILABLE', `${optional} does not load: ${reason}`, { cause });
  }
  await start('tensorflow');
  const { isUsingGpuDevice: gpu = false } = tf.backend() as NodeBackend;
  const device = gpu ? 'libtensorflow (CUDA GPU, fp32)' : 'libtensorflow (CPU, fp32; no CUDA device in use)';
  return { name: 'tensorflow', device, gpu, threads: 1 };
}

async function start(backend: TfjsBackend): Promise<void> {
  const started = await tf.setBackend(backend);
  await tf.ready();
  if (!started || tf.getBackend() !== backend)
    throw new ModelError('ENGINE_UNAVAILABLE', `TensorFlow.js could not start its ${backend} backend`);
}
