/**
 * Errors in OpenAI's form, `{error: {message, type, param, code}}`, with the status by which the official clients choose
 * the class they raise. The words come from the server's one table; details are added only where they speak of the
 * caller's own request.
 */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { codeOf, type ErrorCode, statusOf, wordError } from '../../errors.ts';

/** The client hung up: nobody reads this, but the numbers count it, under the status nginx made common. */
export class ClientLeft extends Error {}
export const CLIENT_LEFT = 499;

/** A parameter that is wrong or cannot be served, said in both languages. */
export class ParameterError extends Error {
  readonly param: string | null;
  readonly code: ParameterCode;
  constructor(param: string | null, code: ParameterCode, words: { zh: string; en: string }) {
    super(words.zh === words.en ? words.en : `${words.en} ${words.zh}`);
    this.name = 'ParameterError';
    this.param = param;
    this.code = code;
  }
}
type ParameterCode = 'missing_required_parameter' | 'invalid_type' | 'invalid_value' | 'unsupported_parameter';

export interface ErrorForm {
  status: number;
  /** Milliseconds after which asking again makes sense. */
  retryAfterMs?: number | undefined;
  error: { message: string; type: string; param: string | null; code: string };
}

/** Where OpenAI has a name of its own, or a status other than the page's. */
const OPENAI: Partial<Record<ErrorCode, { status?: number; type?: string; code: string; param?: string }>> = {
  API_KEYS_UNSET: { code: 'invalid_api_key' },
  API_KEY_WRONG: { code: 'invalid_api_key' },
  API_MODEL_UNKNOWN: { code: 'model_not_found', param: 'model' },
  API_URL_UNKNOWN: { code: 'unknown_url' },
  RATE_LIMITED: { type: 'requests', code: 'rate_limit_exceeded' },
  BUSY: { status: 429, type: 'requests', code: 'busy' },
  CONTEXT_TOO_LONG: { status: 400, code: 'context_length_exceeded' },
  CONSTRAINT_IMPOSSIBLE: { status: 400, code: 'constraint_impossible', param: 'response_format' },
  CONSTRAINT_UNSUPPORTED: { code: 'constraint_unsupported', param: 'response_format' },
};
/** Their messages name what in the caller's own request is too much. */
const EXPLAINED: readonly ErrorCode[] = ['CONTEXT_TOO_LONG', 'CONSTRAINT_IMPOSSIBLE', 'CONSTRAINT_UNSUPPORTED'];

/** Fastify's refusals of a request, before any route sees it. */
const REFUSALS: Record<number, ErrorCode> = { 413: 'API_BODY_TOO_LARGE', 415: 'API_NOT_JSON' };

export function toErrorForm(error: unknown): ErrorForm {
  if (error instanceof ParameterError) {
    const { message, param, code } = error;
    return { status: 400, error: { message, type: 'invalid_request_error', param, code } };
  }
  if (error instanceof ClientLeft)
    return {
      status: CLIENT_LEFT,
      error: { message: 'The client left.', type: 'invalid_request_error', param: null, code: 'client_left' },
    };
  const known = codeOf(error);
  const refused = (error as { statusCode?: unknown } | null)?.statusCode;
  const code =
    known === 'INTERNAL' && typeof refused === 'number' && refused < 500
      ? (REFUSALS[refused] ?? 'API_BODY_BROKEN')
      : known;
  const form = OPENAI[code];
  const status = refused === 415 ? 415 : (form?.status ?? statusOf(code));
  const { message } = wordError(code);
  const detail = EXPLAINED.includes(code) && error instanceof Error ? ` (${error.message})` : '';
  return {
    status,
    retryAfterMs: (error as { retryAfterMs?: number } | null)?.retryAfterMs,
    error: {
      message: `${message.en} ${message.zh}${detail}`,
      type: form?.type ?? (status < 500 ? 'invalid_request_error' : 'server_error'),
      param: form?.param ?? null,
      code: form?.code ?? code.toLowerCase(),
    },
  };
}

export function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const { status, retryAfterMs, error: form } = toErrorForm(error);
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(retryAfterMs / 1_000));
  return reply.code(status).send({ error: form });
}

/** Parses a body, or throws the first thing wrong with it, named as OpenAI names it: `messages[0].content`. */
export function parseBody<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const parsed = schema.safeParse(body, { error: EN });
  if (parsed.success) return parsed.data;
  const issue = deepest(parsed.error.issues[0]!);
  const param = issue.path.reduce<string>(
    (path, key) => (typeof key === 'number' ? `${path}[${key}]` : path ? `${path}.${String(key)}` : String(key)),
    '',
  );
  const missing = issue.path.length > 0 && valueAt(body, issue.path) === undefined;
  const code = missing
    ? 'missing_required_parameter'
    : /^invalid_(type|union)$/.test(issue.code)
      ? 'invalid_type'
      : 'invalid_value';
  const again = schema.safeParse(body, { error: ZH }).error!.issues[0]!;
  throw new ParameterError(param || null, code, {
    zh: `${param || '请求体'}：${deepest(again).message}。`,
    en: `${param || 'body'}: ${issue.message}.`,
  });
}

/** Of the forms a value may take, the fault in the one it comes closest to. */
function deepest(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const faults = issue.errors.flatMap(([first]) => (first && first.path.length > 0 ? [deepest(first)] : []));
  const deeper = faults.sort((a, b) => b.path.length - a.path.length)[0];
  return deeper ? { ...deeper, path: [...issue.path, ...deeper.path] } : issue;
}
type Issue = z.core.$ZodIssue;
const EN = z.locales.en().localeError;
const ZH = z.locales.zhCN().localeError;

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null | undefined)?.[key], body);
}
