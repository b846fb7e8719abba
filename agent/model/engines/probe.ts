/**
 * Which engines would open on this machine, and why the others would not. Each is really started, with the checkpoint's
 * weights only where that is cheap, and closed again; nothing is guessed from names of packages.
 */
import type { Checkpoint } from '../checkpoint.ts';
import type { EngineInfo, EngineName } from '../types.ts';

export interface EngineProbe {
  name: EngineName;
  /** Absent when it does not open. */
  info?: EngineInfo;
  reason?: string;
}

export async function probeEngines(checkpoint: Checkpoint, threads: number): Promise<EngineProbe[]> {
  const cpu = async () => {
    const { openCpuEngine } = await import('./cpu/index.ts');
    const engine = await openCpuEngine(checkpoint, { threads, pages: 1 });
    await engine.close();
    return engine.info;
  };
  const tfjs = (name: 'tensorflow' | 'webgpu' | 'wasm') => async () => {
    const { startTfjsBackend } = await import('./tfjs/index.ts');
    const backend = await startTfjsBackend(name, false);
    backend.close();
    return backend.info;
  };
  const starts: [EngineName, () => Promise<EngineInfo>][] = [
    ['tensorflow', tfjs('tensorflow')],
    ['webgpu', tfjs('webgpu')],
    ['cpu', cpu],
    ['wasm', tfjs('wasm')],
  ];
  const probes: EngineProbe[] = [];
  // One after another: TensorFlow.js has one active backend per thread.
  for (const [name, start] of starts) {
    try {
      probes.push({ name, info: await start() });
    } catch (cause) {
      probes.push({ name, reason: cause instanceof Error ? cause.message : String(cause) });
    }
  }
  return probes;
}
