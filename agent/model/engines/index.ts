/**
 * Choosing an engine. `auto` takes the first that really opens: TensorFlow on a GPU, WebGPU on a GPU, then our own int8
 * engine, then TensorFlow.js's wasm. An engine asked for by name opens or fails; it is never quietly replaced.
 */
import type { Checkpoint } from '../checkpoint.ts';
import { type Engine, type EngineChoice, type EngineName, ModelError, type ModelOptions } from '../types.ts';

export interface EngineOptions {
  threads: number;
  /** KV pages the host wants. */
  pages: number;
  log: NonNullable<ModelOptions['log']>;
}

/** Fastest first. */
const AUTO: { name: EngineName; gpuOnly: boolean }[] = [
  { name: 'tensorflow', gpuOnly: true },
  { name: 'webgpu', gpuOnly: true },
  { name: 'cpu', gpuOnly: false },
  { name: 'wasm', gpuOnly: false },
];

export async function openEngine(
  choice: EngineChoice,
  checkpoint: Checkpoint,
  options: EngineOptions,
): Promise<Engine> {
  const reasons: string[] = [];
  for (const { name, gpuOnly } of choice === 'auto' ? AUTO : [{ name: choice, gpuOnly: false }]) {
    try {
      const engine = await open(name, gpuOnly, checkpoint, options);
      options.log('info', `engine ${name} opened: ${engine.info.device}`, { choice, ...engine.info });
      return engine;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      reasons.push(`${name}: ${reason}`);
      options.log(choice === 'auto' ? 'info' : 'error', `engine ${name} not used: ${reason}`, { choice });
    }
  }
  throw new ModelError('ENGINE_UNAVAILABLE', `no engine opened (${reasons.join('; ')})`);
}

async function open(
  name: EngineName,
  gpuOnly: boolean,
  checkpoint: Checkpoint,
  options: EngineOptions,
): Promise<Engine> {
  switch (name) {
    case 'cpu': {
      const { openCpuEngine } = await import('./cpu/index.ts');
      return openCpuEngine(checkpoint, options);
    }
    case 'tensorflow':
    case 'webgpu':
    case 'wasm': {
      const { openTfjsEngine } = await import('./tfjs/index.ts');
      return openTfjsEngine(name, checkpoint, { pages: options.pages, gpuOnly });
    }
    default:
      throw new ModelError('ENGINE_UNAVAILABLE', `${name} computes elsewhere: it is no engine of this process`);
  }
}
