/**
 * The model, for everyone outside this folder: open it, talk to it, or use it as a LangChain chat model.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { HostedModel } from './host/index.ts';
import type { RemoteModel } from './remote/index.ts';
import type { Model, ModelOptions } from './types.ts';

export { type XiaoheCallOptions, XiaoheChatModel } from './chat-model.ts';
export { type Checkpoint, openCheckpoint } from './checkpoint.ts';
export { type EngineProbe, probeEngines } from './engines/probe.ts';
export {
  type ExportOptions,
  exportGguf,
  exportHuggingFace,
  type GgufOptions,
  type HuggingFaceDtype,
  type HuggingFaceOptions,
} from './export/index.ts';
export type { RemoteModel } from './remote/index.ts';
export * from './types.ts';

/** The checkpoint that ships with the sources. Compiled files lie one folder deeper, under `dist/`. */
export const SHIPPED_CHECKPOINT = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? './checkpoints/seedling' : '../../../agent/model/checkpoints/seedling',
    import.meta.url,
  ),
);

/** More threads than this wait for each other longer than they compute, at the sizes that ship. */
const MAX_THREADS = 8;

/** Loads a checkpoint in a worker thread, or reaches the remote one. Throws CHECKPOINT_*, ENGINE_UNAVAILABLE or REMOTE_FAILED. */
export async function openModel(options: ModelOptions): Promise<Model> {
  const { checkpoint, engine, threads, log = () => {} } = options;
  if (engine === 'remote') {
    // Read only when it is used: the client libraries take a while to load.
    const { openRemote } = await import('./remote/index.ts');
    return openRemote(options);
  }
  return HostedModel.open(
    { checkpoint, engine, threads: threads ?? Math.min(availableParallelism(), MAX_THREADS) },
    log,
  );
}

/** The remote brain, if this model is one: it can do more than the interface of all models says. */
export function asRemote(model: Model): RemoteModel | undefined {
  return model.info.engine.name === 'remote' ? (model as RemoteModel) : undefined;
}
