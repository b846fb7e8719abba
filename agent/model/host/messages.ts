/**
 * What crosses between the caller's thread and the worker. Only plain data: errors travel as their fields.
 */
import type { EngineChoice, GenerateEvent, GenerationUsage, ModelErrorCode, ModelInfo } from '../types.ts';
import { ModelError } from '../types.ts';
import type { ReplyRequest } from './reply.ts';

type Token = Extract<GenerateEvent, { type: 'token' }>;
type End = Extract<GenerateEvent, { type: 'end' }>;
/** Waiting times are the caller's to measure: only it knows when it asked. */
export type WorkerUsage = Omit<GenerationUsage, 'firstTokenMs' | 'totalMs'>;
export type WorkerEvent = Token | (Omit<End, 'usage'> & { usage: WorkerUsage });

export type ReplyEvent = { id: number; event: WorkerEvent } | { id: number; error: ModelError };

export interface WorkerOptions {
  checkpoint: string;
  engine: EngineChoice;
  threads: number;
}
export type ToWorker =
  | { type: 'generate'; id: number; request: ReplyRequest }
  | { type: 'abort'; id: number }
  | { type: 'embed'; id: number; texts: string[] }
  | { type: 'close' };

export interface WireError {
  code: ModelErrorCode;
  message: string;
  retryAfterMs: number | undefined;
}
export type FromWorker =
  | { type: 'ready'; info: ModelInfo }
  | { type: 'failed'; error: WireError }
  | { type: 'replies'; replies: ({ id: number; event: WorkerEvent } | { id: number; error: WireError })[] }
  | { type: 'embedded'; id: number; rows: Float32Array[] }
  | { type: 'refused'; id: number; error: WireError }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> };

export function toWire(error: unknown): WireError {
  if (error instanceof ModelError) {
    const { code, message, retryAfterMs } = error;
    return { code, message, retryAfterMs };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'ENGINE_CRASHED', message, retryAfterMs: undefined };
}

export function fromWire({ code, message, retryAfterMs }: WireError): ModelError {
  return new ModelError(code, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}
