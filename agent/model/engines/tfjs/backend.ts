/** What the three backends have in common: how one is started, and the reasons why it is not. */
import * as tf from '@tensorflow/tfjs-core';
import { type EngineInfo, ModelError } from '../../types.ts';

export interface StartedBackend {
  info: EngineInfo;
  /** Throws ENGINE_CRASHED when something went wrong that no kernel reported: a lost device returns zeros, not errors. */
  check(): void;
  /** Gives back what the backend itself holds; tensors are their owners' business. */
  close(): void;
}

export function unavailable(reason: string, cause?: unknown): ModelError {
  return new ModelError('ENGINE_UNAVAILABLE', reason, { cause });
}

/** The first line of whatever was thrown: loaders append a page of paths. */
export function firstLine(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split('\n')[0] ?? '';
}

/** Makes a registered backend the active one. */
export async function activate(name: string): Promise<void> {
  const started = await tf.setBackend(name);
  await tf.ready();
  if (!started || tf.getBackend() !== name) throw unavailable(`TensorFlow.js could not start its ${name} backend`);
}
