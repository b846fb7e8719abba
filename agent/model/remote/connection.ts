/**
 * The way to the remote server: its address, its key, and a `fetch` that is patient but not for ever. Whatever talks to
 * the server (LangChain's chat model, embeddings, the model list) goes through this one `fetch`, so retries and silence
 * are dealt with once. Nothing is tried again after the first byte of an answer. The key goes into the request and nowhere
 * else.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ModelError, type RemoteOptions } from '../types.ts';

export interface Patience {
  /** Milliseconds from a request to the first byte of its answer. */
  firstByteMs: number;
  /** Milliseconds between two pieces of an answer. */
  idleMs: number;
  /** Pauses before the second, third, … try, milliseconds. */
  retryMs: readonly number[];
  /** Milliseconds a server that is still coming up is waited for at start. */
  startMs: number;
}

export const PATIENCE: Patience = {
  // A full queue and a long prompt on a busy server; a person gives up sooner.
  firstByteMs: 60_000,
  // Tokens come many a second; half a minute of nothing is a server that has died without closing.
  idleMs: 30_000,
  // Long enough for a proxy to find another backend, short enough that the person is still there.
  retryMs: [300, 1_200],
  // vLLM reads a model of 30 B parameters in two to four minutes.
  startMs: 300_000,
};

/** A server that says it is free again this soon is waited for; otherwise whoever asks is told to come back. */
const SHORT_WAIT_MS = 2_000;
/** Proxies without a backend, servers starting up. */
const PASSING = new Set([502, 503, 504]);

export interface Connection {
  /** `https://host:port/v1`, without a slash at the end. */
  readonly base: string;
  /** Host and port, for people: no path, no key. */
  readonly host: string;
  /** Never empty: the client libraries would otherwise look for a key in the environment. */
  readonly key: string;
  readonly patience: Patience;
  readonly fetch: typeof fetch;
  /** Removes the key from a text that came from outside. */
  redact(text: string): string;
}

/** What servers without keys are sent; vLLM's own documentation uses the same word. */
const NO_KEY = 'EMPTY';

export function connect({ url, key }: RemoteOptions, patience: Patience = PATIENCE): Connection {
  const address = new URL(url);
  if (address.username !== '' || address.password !== '')
    throw new ModelError('REMOTE_FAILED', 'put the key into XIAOHE_REMOTE_KEY, not into the address');
  const { host } = address;
  const path = address.pathname.replace(/\/+$/, '');
  return {
    // `http://host:8000` is what servers print when they start; their API lies under /v1.
    base: `${address.origin}${path === '' ? '/v1' : path}`,
    host,
    key: key ?? NO_KEY,
    patience,
    fetch: (input, init) => persistently(input, init ?? {}, host, patience),
    redact: (text) => (key ? text.replaceAll(key, '…') : text),
  };
}

async function persistently(input: Input, init: RequestInit, host: string, patience: Patience): Promise<Response> {
  for (const pause of [...patience.retryMs, undefined]) {
    try {
      const response = await watched(input, init, host, patience);
      if (pause === undefined || !isPassing(response)) return response;
      await response.body?.cancel();
    } catch (error) {
      // Silence was waited for long enough; a refused or broken connection may be a server restarting.
      if (pause === undefined || init.signal?.aborted || error instanceof ModelError) throw error;
    }
    await sleep(pause, undefined, init.signal ? { signal: init.signal } : {});
  }
  throw new ModelError('REMOTE_FAILED', `${host} did not answer`);
}

type Input = Parameters<typeof fetch>[0];

function isPassing(response: Response): boolean {
  const wait = retryAfterMs(response.headers);
  if (response.status === 429) return wait !== undefined && wait <= SHORT_WAIT_MS;
  return PASSING.has(response.status) && (wait === undefined || wait <= SHORT_WAIT_MS);
}

/** What `retry-after` asks for: seconds, or a date. */
export function retryAfterMs(headers: Headers | undefined): number | undefined {
  const value = headers?.get('retry-after')?.trim();
  if (!value) return undefined;
  const ms = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, Math.ceil(ms)) : undefined;
}

/** One request whose silences end in a coded error. The clock runs only while we wait for the server, not for our reader. */
async function watched(input: Input, init: RequestInit, host: string, patience: Patience): Promise<Response> {
  const silence = new AbortController();
  let clock: NodeJS.Timeout | undefined;
  const expect = (ms: number) => {
    clearTimeout(clock);
    clock = setTimeout(() => {
      silence.abort(new ModelError('REMOTE_FAILED', `${host} sent nothing for ${ms / 1_000} s`));
    }, ms).unref();
  };
  const signal = init.signal ? AbortSignal.any([init.signal, silence.signal]) : silence.signal;
  expect(patience.firstByteMs);
  try {
    const response = await fetch(input, { ...init, signal });
    const reader = response.body?.getReader();
    if (!reader) {
      clearTimeout(clock);
      return response;
    }
    let begun = false;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        // Headers often come before the first token is computed: the first clock goes on until there is a byte.
        if (begun) expect(patience.idleMs);
        const { done, value } = await reader.read();
        clearTimeout(clock);
        begun = true;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel(reason) {
        clearTimeout(clock);
        return reader.cancel(reason);
      },
    });
    return new Response(body, response);
  } catch (error) {
    clearTimeout(clock);
    throw error;
  }
}
