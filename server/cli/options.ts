/** What several commands share: which model, how to sample, and how numbers on a command line are read. */
import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type EngineChoice, type Model, openModel, type Sampling } from '../../agent/model/index.ts';
import { parseConfig } from '../config.ts';

/** As she talks in a room: only as warm as a checkpoint this small stands; the penalty keeps it from looping. */
const SAMPLING: Sampling = { temperature: 0.4, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1 };
/** Tokens of a reply nobody bounded: her longest sensible one is a story of 180 characters. */
const MAX_TOKENS = 220;
const MOST_THREADS = 256;
/** Seeds the sampler takes: unsigned 32 bits. */
const SEEDS = 2 ** 32;

const ENGINES: EngineChoice[] = ['auto', 'cpu', 'tensorflow', 'webgpu', 'wasm', 'remote'];

/** A parser of numbers in a range, for commander; anything else is wrong usage. */
export function number(least: number, most: number, whole = false): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!(value >= least && value <= most) || (whole && !Number.isInteger(value)))
      throw new InvalidArgumentError(`expected ${whole ? 'a whole number' : 'a number'} from ${least} to ${most}`);
    return value;
  };
}

export interface ModelFlags {
  checkpoint?: string;
  engine?: EngineChoice;
  threads?: number;
  verbose?: boolean;
}

/** Unset flags mean what the server's settings (XIAOHE_CHECKPOINT, XIAOHE_ENGINE, …) say. */
export function withModelOptions(command: Command): Command {
  return command
    .option(
      '--checkpoint <dir>',
      'a checkpoint directory in Hugging Face form (default: XIAOHE_CHECKPOINT, else her own)',
    )
    .addOption(new Option('--engine <name>', 'what computes (default: XIAOHE_ENGINE, else auto)').choices(ENGINES))
    .option('--threads <n>', 'threads of the cpu engine', number(1, MOST_THREADS, true))
    .option('--verbose', 'say on standard error what is loaded and why');
}

export function openFlagged(flags: ModelFlags): Promise<Model> {
  const config = parseConfig();
  const threads = flags.threads ?? config.threads;
  return openModel({
    checkpoint: checkpointOf(flags),
    engine: flags.engine ?? config.engine,
    ...(threads !== undefined && { threads }),
    ...(config.remote && { remote: config.remote }),
    ...(flags.verbose && { log: (level, message) => void process.stderr.write(`${level}: ${message}\n`) }),
  });
}

export function checkpointOf(flags: ModelFlags): string {
  return flags.checkpoint === undefined ? parseConfig().checkpoint : resolve(flags.checkpoint);
}

export interface SamplingFlags extends Omit<Sampling, 'seed'> {
  seed?: number;
  maxTokens: number;
}

export function withSamplingOptions(command: Command): Command {
  return command
    .option('--max-tokens <n>', 'longest reply, tokens', number(1, 1_000_000, true), MAX_TOKENS)
    .option('--temperature <t>', '0 is greedy', number(0, 10), SAMPLING.temperature)
    .option('--top-k <k>', 'sample among the k likeliest; 0: off', number(0, 1_000_000, true), SAMPLING.topK)
    .option('--top-p <p>', 'sample among the likeliest that hold this probability', number(0, 1), SAMPLING.topP)
    .option('--min-p <p>', 'drop what is less likely than p times the likeliest', number(0, 1), SAMPLING.minP)
    .option('--repetition-penalty <r>', '1 is none', number(0.1, 10), SAMPLING.repetitionPenalty)
    .option('--seed <n>', 'the same seed, prompt and checkpoint give the same reply', number(0, SEEDS - 1, true));
}

/** Without a seed one is drawn here rather than below, so that it can be told and the reply had again. */
export function samplingOf(flags: SamplingFlags): Sampling & { seed: number } {
  const { temperature, topK, topP, minP, repetitionPenalty, seed = randomInt(SEEDS) } = flags;
  return { temperature, topK, topP, minP, repetitionPenalty, seed };
}
