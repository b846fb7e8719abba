/** Which model the server offers and what it says about itself: `GET /models`, with what vLLM and llama.cpp add to it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ModelError, type ModelOptions } from '../types.ts';
import type { Connection } from './connection.ts';
import { toModelError } from './failure.ts';

const Listed = z.object({
  id: z.string().min(1),
  owned_by: z.string().optional().catch(undefined),
  /** vLLM and SGLang: the longest prompt and reply together. */
  max_model_len: z.number().int().positive().optional().catch(undefined),
  /** llama.cpp. */
  meta: z
    .object({
      n_ctx: z.number().int().positive().optional(),
      n_ctx_train: z.number().int().positive().optional(),
      n_vocab: z.number().int().nonnegative().optional(),
      n_params: z.number().nonnegative().optional(),
    })
    .optional()
    .catch(undefined),
});
const List = z.object({ data: z.array(Listed) });

export type ServerKind = 'vLLM' | 'SGLang' | 'llama.cpp' | 'Xiaohe' | 'an OpenAI-compatible server';

export interface Discovery {
  model: string;
  kind: ServerKind;
  context: number;
  /** 0 where the server does not say. */
  parameters: number;
  vocabulary: number;
}

/** Where the server does not say: what even small models of recent years have. Tokens. */
const LIKELY_CONTEXT = 4_096;
/** How often a server that is not up yet is asked again, and a line logged about it. Milliseconds. */
const ASK_MS = 2_000;
const TELL_MS = 30_000;

type Log = NonNullable<ModelOptions['log']>;

/** Throws REMOTE_FAILED or BUSY. A server that is not up yet is waited for. */
export async function discover(
  connection: Connection,
  wanted: string | undefined,
  log: Log,
  signal: AbortSignal,
): Promise<Discovery> {
  const response = await whenUp(connection, log, signal);
  const models = response.ok ? await read(response, connection) : [];
  // A gateway may offer no list, or serve models under names that it does not list; then the wish is believed.
  if (wanted === undefined && models.length === 0)
    throw new ModelError('REMOTE_FAILED', `${connection.host} lists no model; set XIAOHE_REMOTE_MODEL`);
  const listed = wanted === undefined ? models[0] : models.find(({ id }) => id === wanted);
  if (!listed && models.length > 0)
    log('warn', 'the remote server does not list this model', {
      model: wanted,
      listed: models.map(({ id }) => id).slice(0, 20),
    });
  return {
    model: listed?.id ?? wanted ?? '',
    kind: kindOf(listed?.owned_by ?? models[0]?.owned_by ?? '', response.headers.get('server') ?? ''),
    context: listed?.max_model_len ?? listed?.meta?.n_ctx ?? listed?.meta?.n_ctx_train ?? LIKELY_CONTEXT,
    parameters: listed?.meta?.n_params ?? 0,
    vocabulary: listed?.meta?.n_vocab ?? 0,
  };
}

/** Answers a list, or that there is none (404); everything else is an error. */
async function whenUp(connection: Connection, log: Log, signal: AbortSignal): Promise<Response> {
  const { base, host, key, patience } = connection;
  const deadline = Date.now() + patience.startMs;
  let told = Number.NEGATIVE_INFINITY;
  for (;;) {
    let failure: ModelError;
    try {
      const response = await connection.fetch(`${base}/models`, {
        headers: { authorization: `Bearer ${key}`, accept: 'application/json' },
        signal,
      });
      if (response.ok || response.status === 404) return response;
      const said = Object.assign(new Error(`${response.status} ${await response.text()}`), {
        status: response.status,
        headers: response.headers,
      });
      failure = toModelError(said, connection);
      if (response.status < 500 && response.status !== 429) throw failure;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ModelError) throw error;
      failure = toModelError(error, connection);
    }
    if (Date.now() + ASK_MS > deadline) throw failure;
    if (Date.now() - told >= TELL_MS) {
      told = Date.now();
      log('warn', 'waiting for the remote server', { host, reason: failure.message });
    }
    await sleep(ASK_MS, undefined, { signal });
  }
}

async function read(response: Response, { host }: Connection) {
  const text = await response.text();
  try {
    return List.parse(JSON.parse(text)).data;
  } catch {
    throw new ModelError('REMOTE_FAILED', `${host} is no OpenAI-compatible server: GET /models gave no list of models`);
  }
}

function kindOf(owner: string, server: string): ServerKind {
  if (owner === 'vllm') return 'vLLM';
  if (owner === 'sglang') return 'SGLang';
  if (owner === 'llamacpp' || server === 'llama.cpp') return 'llama.cpp';
  return owner === 'xiaohe' ? 'Xiaohe' : 'an OpenAI-compatible server';
}
