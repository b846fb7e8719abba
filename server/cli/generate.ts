/** `xiaohe generate`: one prompt in, one reply out, as text while it is spoken or as one JSON object at its end. */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import type { Alternative, ChatMessage, GenerateRequest, Model } from '../../agent/model/index.ts';
import {
  type ModelFlags,
  number,
  openFlagged,
  type SamplingFlags,
  samplingOf,
  withModelOptions,
  withSamplingOptions,
} from './options.ts';

/** As many alternatives as the model's interface lists. */
const MOST_LOGPROBS = 20;
/** 128 + SIGINT, as shells expect of a program stopped by Ctrl-C. */
const STOPPED = 130;

interface Flags extends ModelFlags, SamplingFlags {
  prompt: string;
  system?: string;
  raw?: boolean;
  stop: string[];
  schema?: Record<string, unknown>;
  logprobs?: number;
  json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command('generate')
    .description('写一个回答 · continue one prompt')
    .requiredOption('--prompt <text>', 'what is said to her; - reads it from standard input')
    .option('--system <text>', 'a system message before it')
    .option('--raw', 'continue the text itself instead of answering it; ChatML marks in it are tokens')
    .option('--stop <text>', 'end before this text; may be given several times', collect, [])
    .option('--schema <file>', 'a JSON Schema the reply must be valid under', readSchema)
    .option(
      '--logprobs <n>',
      'with --json: log-probabilities, and the n likeliest tokens',
      number(0, MOST_LOGPROBS, true),
    )
    .option('--json', 'print one JSON object: text, tokens, finish reason, usage, seed, engine, checkpoint');
  return withSamplingOptions(withModelOptions(command)).action(generate);
}

async function generate(flags: Flags, command: Command): Promise<void> {
  if (flags.raw && flags.system !== undefined) command.error('error: --system belongs to a conversation, not to --raw');
  const text = flags.prompt === '-' ? await readInput() : flags.prompt;
  if (text === '') command.error('error: the prompt is empty');
  const sampling = samplingOf(flags);
  const stopping = new AbortController();
  process.once('SIGINT', () => stopping.abort());
  const request: GenerateRequest = {
    ...(flags.raw ? { prompt: text } : { messages: conversation(text, flags.system) }),
    maxTokens: flags.maxTokens,
    sampling,
    ...(flags.stop.length > 0 && { stop: flags.stop }),
    ...(flags.schema && { constraint: { kind: 'json' as const, schema: flags.schema } }),
    ...(flags.logprobs && { topLogprobs: flags.logprobs }),
    signal: stopping.signal,
  };
  const model = await openFlagged(flags);
  try {
    await speak(model, request, sampling.seed, flags);
  } finally {
    await model.close();
  }
}

interface SpokenToken {
  token: number;
  text: string;
  logprob: number;
  top?: Alternative[];
}

async function speak(model: Model, request: GenerateRequest, seed: number, flags: Flags): Promise<void> {
  const tokens: SpokenToken[] = [];
  for await (const event of model.generate(request)) {
    if (event.type === 'token') {
      const { type: _, ...token } = event;
      tokens.push(token);
      if (!flags.json) process.stdout.write(event.text);
      continue;
    }
    if (event.reason === 'abort') process.exitCode = STOPPED;
    if (!flags.json) {
      process.stdout.write('\n');
      continue;
    }
    const { checkpoint, engine } = model.info;
    const { name, version, sha256 } = checkpoint;
    const result = {
      text: event.text,
      tokens: tokens.map(({ token }) => token),
      finishReason: event.reason,
      usage: event.usage,
      seed,
      engine: { name: engine.name, device: engine.device, gpu: engine.gpu, threads: engine.threads },
      checkpoint: { name, version, sha256 },
      ...(flags.logprobs !== undefined && { logprobs: tokens }),
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
}

function conversation(text: string, system: string | undefined): ChatMessage[] {
  const asked: ChatMessage = { role: 'user', content: text };
  return system === undefined ? [asked] : [{ role: 'system', content: system }, asked];
}

/** All of standard input, without the newline that ends a file. */
async function readInput(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

function collect(text: string, before: string[]): string[] {
  if (text === '') throw new InvalidArgumentError('an empty text would end every reply at once');
  return [...before, text];
}

function readSchema(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidArgumentError('a JSON Schema is a JSON object');
  return value as Record<string, unknown>;
}
