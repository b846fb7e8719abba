/** TensorFlow.js's own WebAssembly: everywhere, and the slowest. */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { activate, type StartedBackend, unavailable } from './backend.ts';

export async function startWasm(gpuOnly: boolean): Promise<StartedBackend> {
  if (gpuOnly) throw unavailable('wasm computes on the CPU');
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  const library = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(dirname(library) + sep);
  await activate('wasm');
  const simd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  // The package switches its threads off under Node, whatever is asked for.
  const device = `wasm (1 thread, ${simd ? 'SIMD, ' : ''}fp32)`;
  return { info: { name: 'wasm', device, gpu: false, threads: 1 }, check() {}, close() {} };
}
