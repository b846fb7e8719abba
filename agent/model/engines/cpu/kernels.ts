/** The compiled kernels: finding them, and making an instance of them over shared memory. */
import { readFile } from 'node:fs/promises';
import { ModelError } from '../../types.ts';

export interface Kernels {
  /** One step by all threads; see assembly/index.ts. */
  step(): void;
  serve(epoch: number): void;
  stop(): void;
  [name: string]: unknown;
}

/**
 * A file of the compiled folder. Sources run by a test runner are `.ts`, which neither a Worker nor this folder can do
 * without a build, so they use what the build put into `dist/`.
 */
export function compiled(name: string): URL {
  const here = import.meta.url;
  if (!here.endsWith('.ts')) return new URL(name, here);
  return new URL(`../../../../dist/agent/model/engines/cpu/${name}`, here);
}

export async function compileKernels(): Promise<WebAssembly.Module> {
  const bytes = await readFile(compiled('kernels.wasm')).catch((cause: unknown) => {
    throw new ModelError('ENGINE_UNAVAILABLE', 'cpu engine: kernels.wasm is not built (npm run build)', { cause });
  });
  return WebAssembly.compile(bytes);
}

/** An instance whose globals hold `settings`; the kernels know no other configuration. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  settings: Record<string, number>,
): Kernels {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  for (const [name, value] of Object.entries(settings)) {
    const global = exports[name];
    if (!(global instanceof WebAssembly.Global)) throw new TypeError(`kernels.wasm has no global ${name}`);
    global.value = value;
  }
  return exports as unknown as Kernels;
}
