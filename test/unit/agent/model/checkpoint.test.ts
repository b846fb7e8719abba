/** Good directories open with the right numbers; every way of being broken is refused with its code, file and tensor. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { halfToFloat, openCheckpoint } from '../../../../agent/model/checkpoint.ts';
import { SHIPPED_CHECKPOINT } from '../../../../agent/model/index.ts';
import { openTokenizer } from '../../../../agent/model/tokenizer.ts';
import { checkpoint } from './seedling.ts';

let folder: string;
let original: Buffer;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xiaohe-checkpoint-'));
  original = readFileSync(join(SHIPPED_CHECKPOINT, 'model.safetensors'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const FILES = ['config.json', 'generation_config.json', 'tokenizer.json', 'model.safetensors'];

/** The shipped directory with some files replaced; null leaves a file out. */
function variant(replace: Record<string, string | Uint8Array | null>): string {
  const directory = mkdtempSync(join(folder, 'variant-'));
  for (const file of FILES) if (!(file in replace)) symlinkSync(join(SHIPPED_CHECKPOINT, file), join(directory, file));
  for (const [file, content] of Object.entries(replace))
    if (content !== null) writeFileSync(join(directory, file), content);
  return directory;
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** The shipped weights with a header edited by hand. */
function withHeader(edit: (header: Header) => void): Buffer {
  const length = Number(original.readBigUInt64LE());
  const header: Header = JSON.parse(original.toString('utf8', 8, 8 + length));
  edit(header);
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, original.subarray(8 + length)]);
}
function withConfig(edit: Record<string, unknown>): string {
  return JSON.stringify({ ...JSON.parse(readFileSync(join(SHIPPED_CHECKPOINT, 'config.json'), 'utf8')), ...edit });
}
const Q = 'model.layers.3.self_attn.q_proj.weight';

describe('a broken checkpoint', () => {
  const weights = (make: () => Uint8Array) => () => variant({ 'model.safetensors': make() });
  const config = (edit: Record<string, unknown>) => () => variant({ 'config.json': withConfig(edit) });
  const cases: [string, () => string, string, string][] = [
    ['no directory', () => join(folder, 'nowhere'), 'CHECKPOINT_MISSING', 'config.json'],
    ['no weights', () => variant({ 'model.safetensors': null }), 'CHECKPOINT_MISSING', 'model.safetensors'],
    ['config is not JSON', () => variant({ 'config.json': '{' }), 'CHECKPOINT_BROKEN', 'config.json'],
    [
      'another architecture',
      config({ architectures: ['LlamaForCausalLM'] }),
      'CHECKPOINT_UNSUPPORTED',
      'architectures',
    ],
    ['unnormalised routing', config({ norm_topk_prob: false }), 'CHECKPOINT_UNSUPPORTED', 'norm_topk_prob'],
    ['dense layers', config({ mlp_only_layers: [0] }), 'CHECKPOINT_UNSUPPORTED', 'mlp_only_layers'],
    ['scaled RoPE', config({ rope_scaling: { type: 'yarn' } }), 'CHECKPOINT_UNSUPPORTED', 'rope_scaling'],
    ['uneven heads', config({ num_key_value_heads: 3 }), 'CHECKPOINT_UNSUPPORTED', 'heads'],
    ['absurdly many layers', config({ num_hidden_layers: 1e9 }), 'CHECKPOINT_UNSUPPORTED', 'num_hidden_layers'],
    ['no experts', config({ num_experts: 0, num_local_experts: 0 }), 'CHECKPOINT_UNSUPPORTED', 'num_experts'],
    ['another expert width than the weights', config({ moe_intermediate_size: 64 }), 'CHECKPOINT_BROKEN', 'gate_proj'],
    ['another vocabulary than the weights', config({ vocab_size: 10_000 }), 'CHECKPOINT_BROKEN', 'embed_tokens'],
    ['more chosen than there are', config({ num_experts_per_tok: 17 }), 'CHECKPOINT_UNSUPPORTED', 'num_experts'],
    ['another width than the weights', config({ hidden_size: 128 }), 'CHECKPOINT_BROKEN', 'embed_tokens'],
    ['more layers than the weights', config({ num_hidden_layers: 7 }), 'CHECKPOINT_BROKEN', 'model.layers.6'],
    ['an empty file', weights(() => new Uint8Array()), 'CHECKPOINT_BROKEN', 'model.safetensors'],
    ['a truncated file', weights(() => original.subarray(0, 1_000_000)), 'CHECKPOINT_BROKEN', 'cut off'],
    ['a file cut by one byte', weights(() => original.subarray(0, -1)), 'CHECKPOINT_BROKEN', 'cut off'],
    ['bytes after the end', weights(() => Buffer.concat([original, Buffer.of(1)])), 'CHECKPOINT_BROKEN', 'after'],
    [
      'an absurd header length',
      weights(() => Buffer.concat([Buffer.alloc(8, 0xff), original.subarray(8)])),
      'CHECKPOINT_BROKEN',
      'header',
    ],
    [
      'a flipped header',
      weights(() => Buffer.concat([original.subarray(0, 8), Buffer.of(0x7d), original.subarray(9)])),
      'CHECKPOINT_BROKEN',
      'header',
    ],
    ['a missing tensor', weights(() => withHeader((h) => rename(h, Q, 'other'))), 'CHECKPOINT_BROKEN', Q],
    ['a missing scale', weights(() => withHeader((h) => rename(h, `${Q}.scale`, 'other'))), 'CHECKPOINT_BROKEN', Q],
    [
      'a transposed shape',
      weights(() =>
        withHeader((h) => {
          h['model.layers.0.mlp.experts.0.down_proj.weight']!.shape.reverse();
        }),
      ),
      'CHECKPOINT_BROKEN',
      'down_proj',
    ],
    [
      'a shape that is not its bytes',
      weights(() =>
        withHeader((h) => {
          h[Q]!.shape[0] = 255;
        }),
      ),
      'CHECKPOINT_BROKEN',
      Q,
    ],
    [
      'overlapping tensors',
      weights(() =>
        withHeader((h) => {
          h[Q]!.data_offsets = [...h['model.layers.2.self_attn.q_proj.weight']!.data_offsets];
        }),
      ),
      'CHECKPOINT_BROKEN',
      'overlaps',
    ],
    [
      'offsets beyond the end',
      weights(() =>
        withHeader((h) => {
          const { data_offsets } = h[Q]!;
          h[Q]!.data_offsets = [data_offsets[0] + 1e9, data_offsets[1] + 1e9];
        }),
      ),
      'CHECKPOINT_BROKEN',
      'cut off',
    ],
    [
      'offsets before the beginning',
      weights(() =>
        withHeader((h) => {
          h[Q]!.data_offsets = [-8, 65_528];
        }),
      ),
      'CHECKPOINT_BROKEN',
      Q,
    ],
    [
      'an int8 matrix that says it is F32',
      weights(() =>
        withHeader((h) => {
          h[Q]!.dtype = 'F32';
        }),
      ),
      'CHECKPOINT_BROKEN',
      Q,
    ],
    [
      'an unknown number type',
      weights(() =>
        withHeader((h) => {
          h[Q]!.dtype = 'F8_E4M3';
        }),
      ),
      'CHECKPOINT_UNSUPPORTED',
      'F8_E4M3',
    ],
    ['a scale that is no number', weights(() => poisoned(`${Q}.scale`, 0x7c00, 6)), 'CHECKPOINT_BROKEN', 'element 3'],
    [
      'a norm that is no number',
      weights(() => poisoned('model.norm.weight', 0x7fc0, 6)),
      'CHECKPOINT_BROKEN',
      'element 1',
    ],
  ];
  function rename(header: Header, from: string, to: string) {
    header[to] = header[from]!;
    delete header[from];
  }
  /** 16 bits written over a tensor's bytes. */
  function poisoned(tensor: string, bits: number, offset: number): Buffer {
    const bytes = Buffer.from(original);
    const length = Number(original.readBigUInt64LE());
    const header: Header = JSON.parse(original.toString('utf8', 8, 8 + length));
    bytes.writeUInt16LE(bits, 8 + length + header[tensor]!.data_offsets[0] + offset);
    return bytes;
  }

  it.each(cases)('%s', async (_, make, code, names) => {
    await expect(openCheckpoint(make())).rejects.toMatchObject({ code, message: expect.stringContaining(names) });
  });

  it('whose tokenizer belongs to a larger vocabulary', async () => {
    await expect(openTokenizer(SHIPPED_CHECKPOINT, 9_000)).rejects.toMatchObject({ code: 'CHECKPOINT_BROKEN' });
    const directory = variant({ 'tokenizer.json': '{"model":{"type":"Unigram"}}' });
    await expect(openTokenizer(directory, 10_240)).rejects.toMatchObject({ code: 'CHECKPOINT_BROKEN' });
  });
});

describe('a plain checkpoint', () => {
  const SHAPE = { hidden: 8, width: 4, vocabulary: 12, headDim: 4 };
  const tensors: [string, number[]][] = [
    ['model.embed_tokens.weight', [12, 8]],
    ['model.norm.weight', [8]],
    ['model.layers.0.input_layernorm.weight', [8]],
    ['model.layers.0.self_attn.q_proj.weight', [8, 8]],
    ['model.layers.0.self_attn.k_proj.weight', [4, 8]],
    ['model.layers.0.self_attn.v_proj.weight', [4, 8]],
    ['model.layers.0.self_attn.o_proj.weight', [8, 8]],
    ['model.layers.0.self_attn.q_norm.weight', [4]],
    ['model.layers.0.self_attn.k_norm.weight', [4]],
    ['model.layers.0.post_attention_layernorm.weight', [8]],
    ['model.layers.0.mlp.gate.weight', [1, 8]],
    ['model.layers.0.mlp.experts.0.gate_proj.weight', [4, 8]],
    ['model.layers.0.mlp.experts.0.up_proj.weight', [4, 8]],
    ['model.layers.0.mlp.experts.0.down_proj.weight', [8, 4]],
    ['lm_head.weight', [12, 8]],
  ];
  /** Values every format holds exactly. */
  const value = (i: number) => ((i % 16) - 7.5) / 4;

  const halfOf = new Map(Array.from({ length: 0x10000 }, (_, word) => [halfToFloat(word), word]));
  function encode(dtype: string, values: number[]): Buffer {
    const float = new Float32Array(values);
    if (dtype === 'F32') return Buffer.from(float.buffer);
    const bits = new Uint32Array(float.buffer);
    return Buffer.from(
      Uint16Array.from(values, (x, i) => (dtype === 'BF16' ? bits[i]! >>> 16 : halfOf.get(x)!)).buffer,
    );
  }
  function safetensors(list: [string, number[]][], dtype: string): Buffer {
    const header: Header = {};
    const data: Buffer[] = [];
    let at = 0;
    for (const [name, shape] of list) {
      const count = shape.reduce((a, b) => a * b);
      const bytes = encode(
        dtype,
        Array.from({ length: count }, (_, i) => value(i)),
      );
      header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
      data.push(bytes);
      at += bytes.length;
    }
    const text = Buffer.from(JSON.stringify(header));
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([prefix, text, ...data]);
  }
  const config = withConfig({
    hidden_size: SHAPE.hidden,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: SHAPE.headDim,
    num_experts: 1,
    num_local_experts: 1,
    num_experts_per_tok: 1,
    moe_intermediate_size: SHAPE.width,
    vocab_size: SHAPE.vocabulary,
    tie_word_embeddings: false,
    eos_token_id: 3,
    xiaohe: undefined,
  });

  it.each(['F32', 'F16', 'BF16'])('in %s opens with its numbers', async (dtype) => {
    const files = {
      'config.json': config,
      'generation_config.json': null,
      'model.safetensors': safetensors(tensors, dtype),
    };
    const opened = await openCheckpoint(variant(files));
    for (const [name, shape] of tensors) {
      const tensor = opened.float(name);
      expect(tensor.shape).toEqual(shape);
      expect([...tensor.values]).toEqual(Array.from(tensor.values, (_, i) => value(i)));
    }
    expect(opened.isQuantised('lm_head.weight')).toBe(false);
    expect(() => opened.quantised('lm_head.weight')).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_UNSUPPORTED' }),
    );
    expect(opened.config.endTokens).toEqual([3]);
  });

  it('in shards opens as one, and a lost shard is named', async () => {
    const parts = { 'a.safetensors': tensors.slice(0, 6), 'b.safetensors': tensors.slice(6) };
    const weight_map = Object.fromEntries(
      Object.entries(parts).flatMap(([file, list]) => list.map(([name]) => [name, file])),
    );
    const files = (lost: string) => ({
      'config.json': config,
      'model.safetensors': null,
      'model.safetensors.index.json': JSON.stringify({ weight_map }),
      ...Object.fromEntries(
        Object.entries(parts).map(([file, list]) => [file, file === lost ? null : safetensors(list, 'F32')]),
      ),
    });
    const opened = await openCheckpoint(variant(files('')));
    expect(opened.float('lm_head.weight').values.length).toBe(96);
    await expect(openCheckpoint(variant(files('b.safetensors')))).rejects.toMatchObject({
      code: 'CHECKPOINT_MISSING',
      message: expect.stringContaining('b.safetensors'),
    });
  });

  it('with each layer’s experts in one tensor, as transformers keeps them in memory, opens the same', async () => {
    const apart = tensors.filter(([name]) => !name.includes('.mlp.'));
    const p = 'model.layers.0.mlp.';
    const merged: [string, number[]][] = [
      [`${p}gate.weight`, [3, 8]],
      // 3 experts of width 4: gate rows, then up rows.
      [`${p}experts.gate_up_proj`, [3, 8, 8]],
      [`${p}experts.down_proj`, [3, 8, 4]],
    ];
    const three = JSON.stringify({ ...JSON.parse(config), num_experts: undefined, num_local_experts: 3 });
    const opened = await openCheckpoint(
      variant({
        'config.json': three,
        'generation_config.json': null,
        'model.safetensors': safetensors([...apart, ...merged], 'BF16'),
      }),
    );
    for (let e = 0; e < 3; e++) {
      const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => value(from + i));
      expect([...opened.float(`${p}experts.${e}.gate_proj.weight`).values]).toEqual(range(e * 64, 32));
      expect([...opened.float(`${p}experts.${e}.up_proj.weight`).values]).toEqual(range(e * 64 + 32, 32));
      expect([...opened.float(`${p}experts.${e}.down_proj.weight`).values]).toEqual(range(e * 32, 32));
    }
    const two = JSON.stringify({ ...JSON.parse(config), num_experts: 4, num_local_experts: 4 });
    const files = { 'config.json': two, 'generation_config.json': null };
    await expect(
      openCheckpoint(variant({ ...files, 'model.safetensors': safetensors([...apart, ...merged], 'F32') })),
    ).rejects.toMatchObject({ code: 'CHECKPOINT_BROKEN' });
  });

  const indices: [string, unknown, string][] = [
    ['that leads out of the directory', { weight_map: { 'lm_head.weight': '../a.safetensors' } }, 'in this directory'],
    ['with an absolute path', { weight_map: { 'lm_head.weight': '/etc/a.safetensors' } }, 'in this directory'],
    ['of other files', { weight_map: { 'lm_head.weight': 'pytorch_model.bin' } }, 'in this directory'],
    ['that is empty', { weight_map: {} }, 'in this directory'],
    ['without a map', [], 'in this directory'],
  ];
  it.each(indices)('with an index %s is refused', async (_, index, names) => {
    const files = { 'config.json': config, 'model.safetensors.index.json': JSON.stringify(index) };
    await expect(openCheckpoint(variant(files))).rejects.toMatchObject({
      code: 'CHECKPOINT_BROKEN',
      message: expect.stringContaining(names),
    });
  });

  it('saved by transformers in shards opens', async () => {
    const opened = await openCheckpoint(new URL('./fixtures/tiny-sharded', import.meta.url).pathname);
    expect(opened.config).toMatchObject({ experts: 4, layers: 2, tied: false });
  });
});

describe('the shipped checkpoint', () => {
  it('dequantises block by block', () => {
    const name = 'model.layers.2.mlp.experts.5.up_proj.weight';
    const { rows, cols, values, scales } = checkpoint.quantised(name);
    const plain = checkpoint.float(name);
    expect(plain.shape).toEqual([rows, cols]);
    for (const at of [0, 31, 32, 8_191, values.length - 1])
      expect(plain.values[at]).toBe(Math.fround(values[at]! * halfToFloat(scales[Math.floor(at / 32)]!)));
    expect(values.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('knows its fp16', () => {
    expect([0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000].map(halfToFloat)).toEqual([1, -2, 2 ** -24, 65_504, -0]);
  });
});
