/**
 * The model, for everyone outside this folder: open it, talk to it, or use it as a LangChain chat model.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { HostedModel } from './host/index.ts';
import type { Model, ModelOptions } from './types.ts';

export { type XiaoheCallOptions, XiaoheChatModel } from './chat-model.ts';
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

/** Loads a checkpoint in a worker thread. Throws CHECKPOINT_* or ENGINE_UNAVAILABLE. */
export function openModel({ checkpoint, engine, threads, log = () => {} }: ModelOptions): Promise<Model> {
  return HostedModel.open(
    { checkpoint, engine, threads: threads ?? Math.min(availableParallelism(), MAX_THREADS) },
    log,
  );
}
