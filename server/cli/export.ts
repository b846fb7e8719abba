/** `xiaohe export`: her checkpoint for other programs, whole or not at all. Progress goes to standard error. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { exportGguf, exportHuggingFace, openCheckpoint } from '../../agent/model/index.ts';
import { checkpointOf } from './options.ts';

interface Flags {
  hf?: string;
  gguf?: string;
  checkpoint?: string;
  dtype?: 'bfloat16' | 'float32';
  maxShardSize?: number;
  force?: boolean;
}

/** Sizes as transformers writes them: decimal, or binary with an i. */
const UNITS: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30 };
const STOPPED = 130;
/** Progress lines a second: readable, and no log grows long. */
const LINES_A_SECOND = 4;

export function exportCommand(): Command {
  return new Command('export')
    .description('导出给别的程序 · export for llama.cpp or Hugging Face')
    .option('--gguf <file>', 'one file for llama.cpp: int8 blocks copied bit for bit as Q8_0, tokenizer inside')
    .option('--hf <dir>', 'a directory for transformers, vLLM and others: bf16 safetensors')
    .addOption(
      new Option('--dtype <type>', 'dequantise to this instead (GGUF: float32 only)').choices(['bfloat16', 'float32']),
    )
    .option('--max-shard-size <size>', 'with --hf: split the weights, for example 500MB', parseSize)
    .option('--checkpoint <dir>', 'what is exported (default: XIAOHE_CHECKPOINT, else her own)')
    .option('--force', 'overwrite what is there')
    .action(run);
}

async function run(flags: Flags, command: Command): Promise<void> {
  if ((flags.hf === undefined) === (flags.gguf === undefined))
    command.error('error: say either --hf DIR or --gguf FILE');
  if ((flags.hf ?? flags.gguf) === '') command.error('error: the target is empty');
  if (flags.gguf !== undefined && flags.dtype === 'bfloat16') command.error('error: --gguf takes --dtype float32 only');
  if (flags.gguf !== undefined && flags.maxShardSize !== undefined) command.error('error: --max-shard-size needs --hf');
  const stopping = new AbortController();
  process.once('SIGINT', () => stopping.abort());
  process.once('SIGTERM', () => stopping.abort());
  const target = (flags.gguf ?? flags.hf)!;
  const options = { force: flags.force === true, signal: stopping.signal, progress: progressTo(target) };
  try {
    const checkpoint = await openCheckpoint(checkpointOf(flags));
    if (flags.gguf !== undefined)
      await exportGguf(checkpoint, target, { ...options, dtype: flags.dtype === 'float32' ? 'float32' : 'stored' });
    else
      await exportHuggingFace(checkpoint, target, {
        ...options,
        dtype: flags.dtype ?? 'bfloat16',
        ...(flags.maxShardSize !== undefined && { maxShardBytes: flags.maxShardSize }),
      });
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    process.stderr.write('\n停下了，没有留下文件 · stopped, nothing was left behind\n');
    process.exitCode = STOPPED;
  }
}

/** One line that counts up on a terminal, a few lines in a log. */
function progressTo(target: string): (done: number, total: number) => void {
  let next = 0;
  return (done, total) => {
    const now = performance.now();
    if (done < total && now < next) return;
    next = now + 1000 / LINES_A_SECOND;
    const line = `${target}  ${(done / 1e6).toFixed(1)} / ${(total / 1e6).toFixed(1)} MB`;
    process.stderr.write(process.stderr.isTTY ? `\r${line}${done === total ? '\n' : ''}` : `${line}\n`);
  };
}

function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMG]?i?B)$/i.exec(text.trim());
  const bytes = match ? Math.floor(Number(match[1]) * UNITS[match[2]!.toUpperCase()]!) : 0;
  if (!(bytes > 0)) throw new InvalidArgumentError('expected a size such as 500MB or 2GiB');
  return bytes;
}
