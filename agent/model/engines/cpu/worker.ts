/** One more thread of the engine: its own instance of the kernels over the shared memory, asleep until a step begins. */
import { parentPort, workerData } from 'node:worker_threads';
import { instantiate } from './kernels.ts';

export interface WorkerTask {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  settings: Record<string, number>;
}

const { module, memory, settings } = workerData as WorkerTask;
const kernels = instantiate(module, memory, settings);
parentPort?.postMessage('ready');
// Steps begin only after every thread has said that it is ready, so the first one ends epoch 0.
kernels.serve(0);
