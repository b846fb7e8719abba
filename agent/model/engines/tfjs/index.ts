/**
 * The network on TensorFlow.js, as an engine on one of three backends: `tensorflow` (libtensorflow, CUDA if there is
 * any), `webgpu` (Dawn) or `wasm`. Each backend's file says what really computes: a GPU package without a usable GPU
 * quietly falls back to the CPU, and that is not a GPU.
 *
 * TensorFlow.js has one active backend per thread: open one of these engines at a time.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Checkpoint } from '../../checkpoint.ts';
import { Network } from '../../network.ts';
import { type Batch, type Engine, ModelError } from '../../types.ts';
import { firstLine, type StartedBackend } from './backend.ts';
import { startTensorflow } from './tensorflow.ts';
import { startWasm } from './wasm.ts';
import { startWebgpu } from './webgpu.ts';

export type TfjsBackend = 'tensorflow' | 'webgpu' | 'wasm';

export interface TfjsOptions {
  /** KV pages for the host. */
  pages: number;
  /** Refuse to open, before any weight is loaded, when no GPU would do the work. */
  gpuOnly: boolean;
}

export async function openTfjsEngine(
  name: TfjsBackend,
  checkpoint: Checkpoint,
  { pages, gpuOnly }: TfjsOptions,
): Promise<Engine> {
  const backend = await startTfjsBackend(name, gpuOnly);
  let network: Network | undefined;
  const close = async () => {
    network?.dispose();
    network = undefined;
    backend.close();
  };
  const compute = async <T>(run: (network: Network) => Promise<T>): Promise<T> => {
    if (!network) throw new ModelError('ENGINE_UNAVAILABLE', `${name} engine: closed`);
    try {
      const result = await run(network);
      backend.check();
      return result;
    } catch (cause) {
      if (cause instanceof ModelError) throw cause;
      throw new ModelError('ENGINE_CRASHED', `${name}: ${firstLine(cause)}`, { cause });
    }
  };
  try {
    network = new Network(checkpoint, pages);
    await compute((opened) => opened.warmUp());
  } catch (cause) {
    await close();
    throw cause;
  }
  return {
    info: backend.info,
    pages,
    step: (batch: Batch) => compute((opened) => opened.step(batch)),
    embed: (tokens) => compute((opened) => opened.embed(tokens)),
    close,
  };
}

/** Makes one backend TensorFlow.js's active one in this thread; also for training and benchmarks, which need no network. */
export function startTfjsBackend(name: TfjsBackend, gpuOnly: boolean): Promise<StartedBackend> {
  // Else every kernel that two packages bring is reported, and every operation checked for NaN and overlap.
  tf.enableProdMode();
  switch (name) {
    case 'wasm':
      return startWasm(gpuOnly);
    case 'tensorflow':
      return startTensorflow(gpuOnly);
    case 'webgpu':
      return startWebgpu(gpuOnly);
  }
}
