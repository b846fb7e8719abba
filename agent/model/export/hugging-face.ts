/**
 * A checkpoint as an ordinary Hugging Face directory: weights in bf16 or fp32, sharded on request, under the names
 * `transformers` saves, beside the tokenizer, chat template, picture codec and retrieval head it came with.
 */
import { copyFile, cp, open, readdir, writeFile } from 'node:fs/promises';
import { join, normalize, resolve } from 'node:path';
import { z } from 'zod';
import type { Checkpoint } from '../checkpoint.ts';
import { type CheckpointConfig, tensorShapes } from '../config.ts';
import { ModelError } from '../types.ts';
import { readJson } from '../weights.ts';
import { bf16, f32 } from './number-formats.ts';
import { type ExportOptions, Writer, writeDirectoryWhole } from './target.ts';

export type HuggingFaceDtype = 'bfloat16' | 'float32';
export interface HuggingFaceOptions extends ExportOptions {
  /** Default bfloat16: what others train and serve in. float32 keeps every bit of int8 weights. */
  dtype?: HuggingFaceDtype;
  /** Bytes of weights one file may hold; a tensor larger than this still gets a file of its own. Absent: one file. */
  maxShardBytes?: number;
}

const DTYPES = {
  bfloat16: { name: 'BF16', bytes: 2, pieces: bf16 },
  float32: { name: 'F32', bytes: 4, pieces: f32 },
} as const;
const INDEX = 'model.safetensors.index.json';
const WEIGHTS = /^model(-\d{5}-of-\d{5})?\.safetensors$/;
/** What stands beside the weights and is copied as it is; anything else in the directory is not the checkpoint's. */
const COMPANIONS =
  /^(generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|modules|sentence_bert_config|config_sentence_transformers)\.json$|^merges\.txt$|^chat_template\.jinja$|^README\.md$|^LICENSE/;
/** The picture codec's folder. The retrieval head's folders are named by modules.json. */
const CODEC = 'codec';
/** Runs tokenizer.json as it stands. Qwen2Tokenizer would put NFC in front, and decomposed text would get other tokens. */
const TOKENIZER_CLASS = 'PreTrainedTokenizerFast';
const Modules = z.array(z.object({ path: z.string() }));
const RawConfig = z.looseObject({ xiaohe: z.looseObject({}).optional() });

interface Shard {
  file: string;
  tensors: { name: string; shape: number[]; bytes: number }[];
}

export async function exportHuggingFace(
  checkpoint: Checkpoint,
  target: string,
  options: HuggingFaceOptions = {},
): Promise<void> {
  const { dtype = 'bfloat16', maxShardBytes } = options;
  if (resolve(target) === resolve(checkpoint.directory))
    throw new ModelError('EXPORT_EXISTS', `${target} is the checkpoint itself`);
  const shards = planShards(checkpoint.config, DTYPES[dtype].bytes, maxShardBytes);
  const totalSize = shards.flatMap((shard) => shard.tensors).reduce((sum, tensor) => sum + tensor.bytes, 0);
  const replaces = (name: string) => name === INDEX || WEIGHTS.test(name);
  await writeDirectoryWhole(target, options, replaces, async (scratch) => {
    const headers = shards.map((shard) => headerOf(shard, DTYPES[dtype].name));
    const total = totalSize + headers.reduce((sum, header) => sum + header.length, 0);
    let before = 0;
    for (const [i, shard] of shards.entries()) {
      const progress = options.progress && ((done: number) => options.progress?.(before + done, total));
      const file = await open(join(scratch, shard.file), 'wx');
      try {
        const writer = new Writer(file, total, { ...options, ...(progress && { progress }) });
        await writer.write(headers[i]!);
        for (const { name } of shard.tensors)
          for (const piece of DTYPES[dtype].pieces(checkpoint.float(name).values)) await writer.write(piece);
        before += writer.done;
        await file.sync();
      } finally {
        await file.close();
      }
    }
    if (shards.length > 1) {
      const map = shards.flatMap(({ file, tensors }) => tensors.map(({ name }) => [name, file]));
      await writeJson(join(scratch, INDEX), {
        metadata: { total_size: totalSize },
        weight_map: Object.fromEntries(map),
      });
    }
    const raw = RawConfig.parse(await readJson(join(checkpoint.directory, 'config.json'), true));
    await writeJson(join(scratch, 'config.json'), configFor(raw, dtype));
    await copyCompanions(checkpoint.directory, scratch);
  });
}

/** Tensors in order, as many a file as fit; file names as `transformers` numbers them. */
export function planShards(
  config: CheckpointConfig,
  bytesEach: number,
  maxShardBytes = Number.POSITIVE_INFINITY,
): Shard[] {
  const groups: Shard['tensors'][] = [];
  let used = Number.POSITIVE_INFINITY;
  for (const [name, shape] of tensorShapes(config)) {
    const bytes = shape.reduce((product, n) => product * n, bytesEach);
    if (groups.length === 0 || used + bytes > maxShardBytes) {
      groups.push([]);
      used = 0;
    }
    groups.at(-1)!.push({ name, shape, bytes });
    used += bytes;
  }
  const number = (n: number) => String(n).padStart(5, '0');
  return groups.map((tensors, i) => ({
    file: groups.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
    tensors,
  }));
}

/** The file's beginning: length, then JSON filled up with spaces so that the data is aligned to 8 bytes. */
function headerOf(shard: Shard, dtype: string): Uint8Array {
  const table: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const { name, shape, bytes } of shard.tensors) {
    table[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = Buffer.from(JSON.stringify(table));
  const length = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(8 + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  return header;
}

/** The same configuration, without what is only true of int8 files. `torch_dtype` is for transformers before 5. */
function configFor(raw: z.infer<typeof RawConfig>, dtype: HuggingFaceDtype): Record<string, unknown> {
  const { quantization: _, ...xiaohe } = raw.xiaohe ?? {};
  return { ...raw, dtype, torch_dtype: dtype, ...(raw.xiaohe && { xiaohe }) };
}

async function copyCompanions(from: string, to: string): Promise<void> {
  const present = await readdir(from, { withFileTypes: true });
  for (const entry of present)
    if (!entry.isDirectory() && COMPANIONS.test(entry.name))
      await copyFile(join(from, entry.name), join(to, entry.name));
  const tokenizer = RawConfig.safeParse(await readJson(join(from, 'tokenizer_config.json'), false)).data;
  if (tokenizer) await writeJson(join(to, 'tokenizer_config.json'), { ...tokenizer, tokenizer_class: TOKENIZER_CLASS });
  const modules = Modules.safeParse(await readJson(join(from, 'modules.json'), false)).data ?? [];
  // A path that leaves the directory is somebody else's file.
  const folders = [CODEC, ...modules.map(({ path }) => normalize(path))];
  for (const folder of folders) {
    if (!present.some((entry) => entry.name === folder && entry.isDirectory())) continue;
    await cp(join(from, folder), join(to, folder), { recursive: true });
  }
}

function writeJson(path: string, value: unknown): Promise<void> {
  return writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
