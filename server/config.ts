/**
 * Every setting, parsed once from the environment. Nothing else reads `process.env`. A setting is here only if whoever
 * runs the server may need to change it; numbers that only engineers tune are named constants beside their use.
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { AppError } from './errors.ts';

/** The folder with package.json: one level up from the sources, two from dist/. */
export const PROJECT_ROOT = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json')) || dirname(from) === from) return from;
  return findRoot(dirname(from));
}

/** `FOO=` means the same as not setting FOO, as container files often write it. */
const unsetIfBlank = (value: unknown) => (typeof value === 'string' && value.trim() === '' ? undefined : value);
const setting = <T extends z.ZodType>(type: T) => z.preprocess(unsetIfBlank, type);
const flag = z.enum(['0', '1', 'false', 'true']).transform((value) => value === '1' || value === 'true');
const originList = z
  .string()
  .transform((list) => list.split(',').map((origin) => origin.trim().replace(/\/$/, '')))
  .pipe(
    z.array(z.string().regex(/^https?:\/\/[^/\s]+$/, 'must be origins like https://school.example, comma-separated')),
  );
/** As many characters as a key needs so that guessing is hopeless, however fast: hex or base64, at least 80 bits. */
const API_KEY_CHARS = 20;
const apiKeyList = z
  .string()
  .transform((list) =>
    list
      .split(',')
      .map((key) => key.trim())
      .filter((key) => key !== ''),
  )
  .pipe(
    z.array(
      z
        .string()
        .min(API_KEY_CHARS, `each key needs at least ${API_KEY_CHARS} characters; make one with: openssl rand -hex 24`)
        .regex(/^[\x21-\x7e]+$/, 'keys must be printable ASCII without spaces'),
    ),
  );

const Environment = z.object({
  /** TCP port; 0 takes any free one. 8600 is free of well-known services. */
  PORT: setting(z.coerce.number().int().min(0).max(65_535).default(8600)),
  /** Address to listen on. Loopback by default: opening it to a network is a decision. */
  HOST: setting(z.string().default('127.0.0.1')),
  /** A PostgreSQL server (15 or later). Unset: the embedded one in the data directory. */
  DATABASE_URL: setting(
    z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must look like postgres://user:password@host/database')
      .optional(),
  ),
  /** Seconds to wait at boot for that PostgreSQL; services of one machine start in any order. */
  XIAOHE_DATABASE_WAIT: setting(z.coerce.number().min(0).max(3_600).default(30)),
  /** Where the embedded database lives. */
  XIAOHE_DATA_DIR: setting(z.string().default(join(PROJECT_ROOT, '.xiaohe'))),
  /** A checkpoint directory in Hugging Face form. */
  XIAOHE_CHECKPOINT: setting(z.string().default(join(PROJECT_ROOT, 'agent/model/checkpoints/seedling'))),
  /** What computes; `auto` takes the best engine present. */
  XIAOHE_ENGINE: setting(z.enum(['auto', 'cpu', 'tensorflow', 'webgpu', 'wasm', 'remote']).default('auto')),
  /** Threads of the cpu engine. Unset: the engine decides by the machine. */
  XIAOHE_THREADS: setting(z.coerce.number().int().min(1).max(256).optional()),
  /** An OpenAI-compatible server, used when XIAOHE_ENGINE=remote. */
  XIAOHE_REMOTE_URL: setting(z.url({ protocol: /^https?$/ }).optional()),
  XIAOHE_REMOTE_MODEL: setting(z.string().optional()),
  XIAOHE_REMOTE_KEY: setting(z.string().optional()),
  /** Other web origins that may connect. Unset: only pages served by this host. */
  XIAOHE_ORIGINS: setting(originList.default([])),
  /** Set behind a proxy that ends TLS, so that addresses and `https` are read from its headers. */
  XIAOHE_TRUST_PROXY: setting(flag.default(false)),
  /** Messages one person may send in ten seconds: three a second is faster than typing, slower than a script. */
  XIAOHE_MESSAGES_PER_10S: setting(z.coerce.number().int().min(1).max(100_000).default(30)),
  /** Bearer keys of the OpenAI-compatible API, comma-separated. Unset: the API refuses everyone and says how to make one. */
  XIAOHE_API_KEYS: setting(apiKeyList.default([])),
  /** Requests one key may make in a minute: ten a second is more than a small machine answers. */
  XIAOHE_API_REQUESTS_PER_MINUTE: setting(z.coerce.number().int().min(1).max(1_000_000).default(600)),
  /** Log lines are JSON on standard error. `warn` by default: the banner already says what a person needs. */
  LOG_LEVEL: setting(z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('warn')),
});

export interface Config {
  port: number;
  host: string;
  /** Absent: embedded. */
  databaseUrl?: string;
  databaseWaitSeconds: number;
  dataDirectory: string;
  checkpoint: string;
  engine: z.infer<typeof Environment>['XIAOHE_ENGINE'];
  threads?: number;
  remote?: { url: string; model?: string; key?: string };
  origins: string[];
  trustProxy: boolean;
  messagesPer10s: number;
  apiKeys: string[];
  apiRequestsPerMinute: number;
  logLevel: z.infer<typeof Environment>['LOG_LEVEL'];
}

/** Throws CONFIG_INVALID naming every wrong variable; values are not repeated, because some are secrets. */
export function parseConfig(environment: Record<string, string | undefined> = process.env): Config {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) => `${String(issue.path[0])}: ${issue.message}`);
    throw new AppError('CONFIG_INVALID', wrong.join('; '));
  }
  const env = parsed.data;
  if (env.XIAOHE_ENGINE === 'remote' && !env.XIAOHE_REMOTE_URL)
    throw new AppError('CONFIG_INVALID', 'XIAOHE_REMOTE_URL: is needed when XIAOHE_ENGINE=remote');
  return {
    port: env.PORT,
    host: env.HOST,
    ...(env.DATABASE_URL && { databaseUrl: env.DATABASE_URL }),
    databaseWaitSeconds: env.XIAOHE_DATABASE_WAIT,
    dataDirectory: resolve(env.XIAOHE_DATA_DIR),
    checkpoint: resolve(env.XIAOHE_CHECKPOINT),
    engine: env.XIAOHE_ENGINE,
    ...(env.XIAOHE_THREADS && { threads: env.XIAOHE_THREADS }),
    ...(env.XIAOHE_REMOTE_URL && {
      remote: {
        url: env.XIAOHE_REMOTE_URL,
        ...(env.XIAOHE_REMOTE_MODEL && { model: env.XIAOHE_REMOTE_MODEL }),
        ...(env.XIAOHE_REMOTE_KEY && { key: env.XIAOHE_REMOTE_KEY }),
      },
    }),
    origins: env.XIAOHE_ORIGINS,
    trustProxy: env.XIAOHE_TRUST_PROXY,
    messagesPer10s: env.XIAOHE_MESSAGES_PER_10S,
    apiKeys: env.XIAOHE_API_KEYS,
    apiRequestsPerMinute: env.XIAOHE_API_REQUESTS_PER_MINUTE,
    logLevel: env.LOG_LEVEL,
  };
}
