/** The GGUF of a checkpoint, read back by Hugging Face's own parser: every tensor's bytes, and what llama.cpp must know. */
import { mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GGMLQuantizationType, gguf } from '@huggingface/gguf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Checkpoint, halfToFloat, openCheckpoint } from '../../../../../agent/model/checkpoint.ts';
import { exportGguf, exportHuggingFace } from '../../../../../agent/model/export/index.ts';
import { checkpoint } from '../seedling.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xiaohe-gguf-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function read(path: string) {
  const parsed = await gguf(path, { allowLocalFile: true });
  const file = openSync(path, 'r');
  const tensors = new Map(
    parsed.tensorInfos.map((info) => {
      const count = Number(info.shape.reduce((product, n) => product * n, 1n));
      const size =
        info.dtype === GGMLQuantizationType.Q8_0
          ? (count / 32) * 34
          : count * (info.dtype === GGMLQuantizationType.BF16 ? 2 : 4);
      const bytes = Buffer.alloc(size);
      const at = Number(parsed.tensorDataOffset) + Number(info.offset);
      if (readSync(file, bytes, 0, size, at) !== size) throw new Error(`${info.name} lies beyond the file's end`);
      // Outermost first, as everywhere else.
      return [info.name, { dtype: info.dtype, shape: info.shape.map(Number).reverse(), bytes }] as const;
    }),
  );
  return { metadata: parsed.metadata as Record<string, unknown>, tensors };
}

/** llama.cpp's names with the checkpoint's tensors they hold, written down apart from the exporter. */
function expected(c: Checkpoint['config']): [string, string[]][] {
  const layers = Array.from({ length: c.layers }, (_, i) => {
    const [to, from] = [`blk.${i}`, `model.layers.${i}`];
    const all = (kind: string) =>
      Array.from({ length: c.experts }, (_, e) => `${from}.mlp.experts.${e}.${kind}_proj.weight`);
    return [
      [`${to}.attn_norm.weight`, [`${from}.input_layernorm.weight`]],
      [`${to}.attn_q.weight`, [`${from}.self_attn.q_proj.weight`]],
      [`${to}.attn_k.weight`, [`${from}.self_attn.k_proj.weight`]],
      [`${to}.attn_v.weight`, [`${from}.self_attn.v_proj.weight`]],
      [`${to}.attn_output.weight`, [`${from}.self_attn.o_proj.weight`]],
      [`${to}.attn_q_norm.weight`, [`${from}.self_attn.q_norm.weight`]],
      [`${to}.attn_k_norm.weight`, [`${from}.self_attn.k_norm.weight`]],
      [`${to}.ffn_norm.weight`, [`${from}.post_attention_layernorm.weight`]],
      [`${to}.ffn_gate_inp.weight`, [`${from}.mlp.gate.weight`]],
      [`${to}.ffn_gate_exps.weight`, all('gate')],
      [`${to}.ffn_up_exps.weight`, all('up')],
      [`${to}.ffn_down_exps.weight`, all('down')],
    ] as [string, string[]][];
  });
  return [
    ['token_embd.weight', ['model.embed_tokens.weight']],
    ['output_norm.weight', ['model.norm.weight']],
    ...(c.tied ? [] : ([['output.weight', ['lm_head.weight']]] as [string, string[]][])),
    ...layers.flat(),
  ];
}

function floats(bytes: Buffer, dtype: GGMLQuantizationType): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (dtype === GGMLQuantizationType.F32)
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
  if (dtype === GGMLQuantizationType.BF16) {
    const words = Uint32Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(i * 2, true) << 16);
    return new Float32Array(words.buffer);
  }
  const out = new Float32Array((bytes.length / 34) * 32);
  for (let block = 0; block * 34 < bytes.length; block++) {
    const scale = halfToFloat(view.getUint16(block * 34, true));
    for (let i = 0; i < 32; i++) out[block * 32 + i] = view.getInt8(block * 34 + 2 + i) * scale;
  }
  return out;
}

function expectSameNumbers(source: Checkpoint, tensors: Awaited<ReturnType<typeof read>>['tensors']) {
  const names = expected(source.config);
  expect([...tensors.keys()].sort()).toEqual(names.map(([name]) => name).sort());
  for (const [name, from] of names) {
    const { bytes, dtype, shape } = tensors.get(name)!;
    const parts = from.map((part) => source.float(part));
    expect(shape, name).toEqual(parts.length > 1 ? [parts.length, ...parts[0]!.shape] : parts[0]!.shape);
    const values = floats(bytes, dtype);
    let at = 0;
    for (const part of parts) {
      const stored = values.subarray(at, at + part.values.length);
      expect(Buffer.compare(Buffer.from(stored.slice().buffer), Buffer.from(part.values.slice().buffer)), name).toBe(0);
      at += part.values.length;
    }
    expect(at).toBe(values.length);
  }
}

describe('the GGUF of the shipped checkpoint', () => {
  let path: string;
  let file: Awaited<ReturnType<typeof read>>;
  beforeAll(async () => {
    path = join(folder, 'seedling.gguf');
    await exportGguf(checkpoint, path);
    file = await read(path);
  });

  it('holds every weight, bit for bit', () => {
    expectSameNumbers(checkpoint, file.tensors);
    for (const [name, { dtype }] of file.tensors)
      expect(dtype, name).toBe(/norm|gate_inp/.test(name) ? GGMLQuantizationType.F32 : GGMLQuantizationType.Q8_0);
    const embedding = checkpoint.quantised('model.embed_tokens.weight');
    const { bytes } = file.tensors.get('token_embd.weight')!;
    for (const block of [0, 1, 12_345, embedding.scales.length - 1]) {
      expect(bytes.readUInt16LE(block * 34)).toBe(embedding.scales[block]);
      expect(Int8Array.from(bytes.subarray(block * 34 + 2, block * 34 + 34))).toEqual(
        embedding.values.slice(block * 32, block * 32 + 32),
      );
    }
  });

  it('says what llama.cpp must know of the network', () => {
    const { config: c, sha256 } = checkpoint;
    expect(file.metadata).toMatchObject({
      'general.architecture': 'qwen3moe',
      'general.name': c.name,
      'general.version': c.version,
      'general.file_type': 7,
      'general.quantization_version': 2,
      'xiaohe.checkpoint.sha256': sha256,
      'qwen3moe.block_count': c.layers,
      'qwen3moe.context_length': c.context,
      'qwen3moe.embedding_length': c.hidden,
      'qwen3moe.expert_feed_forward_length': c.expertWidth,
      'qwen3moe.expert_count': c.experts,
      'qwen3moe.expert_used_count': c.expertsPerToken,
      'qwen3moe.attention.head_count': c.heads,
      'qwen3moe.attention.head_count_kv': c.kvHeads,
      'qwen3moe.attention.key_length': c.headDim,
      'qwen3moe.attention.value_length': c.headDim,
      'qwen3moe.rope.freq_base': c.ropeTheta,
      'qwen3moe.attention.layer_norm_rms_epsilon': Math.fround(c.rmsEps),
    });
  });

  it('holds the tokenizer', () => {
    const json = JSON.parse(readFileSync(join(checkpoint.directory, 'tokenizer.json'), 'utf8'));
    const tokens = file.metadata['tokenizer.ggml.tokens'] as string[];
    const kinds = file.metadata['tokenizer.ggml.token_type'] as number[];
    expect(tokens).toHaveLength(checkpoint.config.vocabulary);
    expect(kinds).toHaveLength(checkpoint.config.vocabulary);
    for (const [token, id] of Object.entries<number>(json.model.vocab))
      expect([tokens[id], kinds[id]]).toEqual([token, 1]);
    for (const { id, content } of json.added_tokens) expect([tokens[id], kinds[id]]).toEqual([content, 3]);
    expect(file.metadata['tokenizer.ggml.merges']).toEqual(
      json.model.merges.map((merge: string | string[]) => (typeof merge === 'string' ? merge : merge.join(' '))),
    );
    const special = (id: unknown) => tokens[Number(id)];
    expect(special(file.metadata['tokenizer.ggml.eos_token_id'])).toBe('<|im_end|>');
    expect(special(file.metadata['tokenizer.ggml.bos_token_id'])).toBe('<|endoftext|>');
    expect(file.metadata).toMatchObject({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'qwen2',
      'tokenizer.ggml.add_bos_token': false,
      'tokenizer.chat_template': readFileSync(join(checkpoint.directory, 'chat_template.jinja'), 'utf8'),
    });
  });

  it('counts every byte as it writes', async () => {
    const seen: [number, number][] = [];
    await exportGguf(checkpoint, path, { force: true, progress: (done, total) => seen.push([done, total]) });
    const size = statSync(path).size;
    expect(seen.at(-1)).toEqual([size, size]);
    expect(seen.every(([done], i) => i === 0 || done > seen[i - 1]![0])).toBe(true);
  });

  it('can be had in fp32, the same numbers', async () => {
    const wide = join(folder, 'wide.gguf');
    await exportGguf(checkpoint, wide, { dtype: 'float32' });
    const { metadata, tensors } = await read(wide);
    expectSameNumbers(checkpoint, tensors);
    expect(metadata['general.file_type']).toBe(0);
    expect([...tensors.values()].every(({ dtype }) => dtype === GGMLQuantizationType.F32)).toBe(true);
    rmSync(wide);
  });
});

describe('the GGUF of another checkpoint', () => {
  it('keeps every bit of a bf16 one', async () => {
    const directory = join(folder, 'bf16');
    await exportHuggingFace(checkpoint, directory);
    const half = await openCheckpoint(directory);
    const path = join(folder, 'bf16.gguf');
    await exportGguf(half, path);
    const { metadata, tensors } = await read(path);
    expectSameNumbers(half, tensors);
    expect(tensors.get('blk.0.ffn_up_exps.weight')!.dtype).toBe(GGMLQuantizationType.BF16);
    expect(metadata['general.file_type']).toBe(32);
  });

  it('says licence and languages only where the README does', async () => {
    const directory = mkdtempSync(join(folder, 'card-'));
    for (const name of ['config.json', 'generation_config.json', 'tokenizer.json', 'model.safetensors'])
      symlinkSync(join(checkpoint.directory, name), join(directory, name));
    writeFileSync(
      join(directory, 'README.md'),
      '---\nlicense: cc-by-4.0\nlanguage:\n- zh\n- en\ntags: [x]\n---\n# x\n',
    );
    const path = join(folder, 'card.gguf');
    await exportGguf(await openCheckpoint(directory), path);
    expect((await read(path)).metadata).toMatchObject({
      'general.license': 'cc-by-4.0',
      'general.languages': ['zh', 'en'],
    });
    writeFileSync(join(directory, 'README.md'), '# license: mit\n');
    await exportGguf(await openCheckpoint(directory), path, { force: true });
    expect((await read(path)).metadata).not.toHaveProperty('general.license');
  });

  it('is refused when llama.cpp would cut its text otherwise', async () => {
    const directory = mkdtempSync(join(folder, 'split-'));
    for (const name of ['config.json', 'generation_config.json', 'model.safetensors'])
      symlinkSync(join(checkpoint.directory, name), join(directory, name));
    interface TokenizerJson {
      normalizer: unknown;
      pre_tokenizer: { pretokenizers: { pattern: { Regex: string } }[] };
      model: { type: string };
    }
    const json: TokenizerJson = JSON.parse(readFileSync(join(checkpoint.directory, 'tokenizer.json'), 'utf8'));
    const attempt = async (edit: (copy: TokenizerJson) => void) => {
      const copy = structuredClone(json);
      edit(copy);
      writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(copy));
      return exportGguf(await openCheckpoint(directory), join(folder, 'split.gguf'));
    };
    const unsupported = expect.objectContaining({ code: 'CHECKPOINT_UNSUPPORTED' });
    await expect(
      attempt((copy) => {
        copy.pre_tokenizer.pretokenizers[0]!.pattern.Regex = '\\p{N}{1,3}';
      }),
    ).rejects.toEqual(unsupported);
    await expect(
      attempt((copy) => {
        copy.normalizer = { type: 'Lowercase' };
      }),
    ).rejects.toEqual(unsupported);
    await expect(
      attempt((copy) => {
        copy.model.type = 'Unigram';
      }),
    ).rejects.toEqual(unsupported);
    rmSync(join(directory, 'tokenizer.json'));
    await expect(exportGguf(await openCheckpoint(directory), join(folder, 'split.gguf'))).rejects.toMatchObject({
      code: 'CHECKPOINT_MISSING',
    });
  });
});
