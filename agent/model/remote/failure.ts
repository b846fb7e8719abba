/** What went wrong on the way to the server or there, as one coded error with the server's own reason in words. */
import { ModelError } from '../types.ts';
import { type Connection, retryAfterMs } from './connection.ts';

/** The server's reason, cut: some send whole pages. Characters. */
const MOST_REASON = 400;
/** When a busy server names no time. Milliseconds. */
const RETRY_AFTER_MS = 3_000;

/** The HTTP status behind an error, if an answer of the server is behind it. */
export function statusOf(error: unknown): number | undefined {
  for (const cause of causesOf(error)) {
    const { status } = cause as { status?: unknown };
    if (typeof status === 'number') return status;
  }
  return undefined;
}

/** The error as text, without the advice that LangChain appends. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n\nTroubleshooting URL')[0]!.trim();
}

/** True when the server could not make sense of the request, so that asking for less may help. */
export function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return status === 400 || status === 422;
}

/** True when the server cannot do a thing at all; they have many ways of saying so. */
export function isIncapable(error: unknown): boolean {
  const status = statusOf(error);
  return !isTooLong(error) && [400, 404, 405, 422, 500, 501].includes(status ?? 0);
}

export function isTooLong(error: unknown): boolean {
  return (
    (error instanceof Error && error.name === 'ContextOverflowError') ||
    (error as { code?: unknown } | null)?.code === 'context_length_exceeded' ||
    /context[_ ](?:length|window|size)|maximum context|too many tokens|exceeds? .{0,40}context/i.test(messageOf(error))
  );
}

export function toModelError(error: unknown, { host, redact }: Connection, model = ''): ModelError {
  const causes = causesOf(error);
  const own = causes.find((cause) => cause instanceof ModelError);
  if (own) return own;
  const status = statusOf(error);
  const reason = redact(messageOf(error)).slice(0, MOST_REASON);
  const headers = causes.map((cause) => (cause as { headers?: unknown }).headers).find(Boolean);
  const wait = headers instanceof Headers ? retryAfterMs(headers) : undefined;
  if (isTooLong(error)) return new ModelError('CONTEXT_TOO_LONG', `${host}: ${reason}`);
  if (status === 429 || (status === 503 && wait !== undefined))
    return new ModelError('BUSY', `${host} is busy: ${reason}`, { retryAfterMs: wait ?? RETRY_AFTER_MS });
  if (status === 401 || status === 403) return failed(`${host} does not accept XIAOHE_REMOTE_KEY: ${reason}`, status);
  if (status === 404) return failed(`${host} does not know ${model || 'the path'}: ${reason}`, status);
  if (status !== undefined) return failed(`${host} answered with an error: ${reason}`, status);
  if (causes.some((cause) => cause instanceof SyntaxError))
    return failed(`${host} sent what cannot be read: ${reason}`);
  // Node's fetch says only `fetch failed` or `terminated`; the deepest cause names the reason.
  const deepest = causes.at(-1);
  const code = (deepest as { code?: unknown } | undefined)?.code;
  const detail = redact(messageOf(deepest)) || String(code ?? reason);
  return failed(`the connection to ${host} failed: ${detail.slice(0, MOST_REASON)}`);
}

/** The cause carries the status and nothing else: the original error may repeat the key. */
function failed(message: string, status?: number): ModelError {
  const cause = status === undefined ? undefined : Object.assign(new Error(`HTTP ${status}`), { status });
  return new ModelError('REMOTE_FAILED', message, { cause });
}

/** The error and what caused it, outermost first. */
function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = [];
  for (let at = error; at !== undefined && at !== null && causes.length < 10; at = (at as { cause?: unknown }).cause)
    causes.push(at);
  return causes;
}
