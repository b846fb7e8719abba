/** The exported directory opens again as an ordinary checkpoint, with the same numbers and everything that belongs to it. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../../../agent/model/checkpoint.ts';
import { tensorShapes } from '../../../../../agent/model/config.ts';
import { planShards } from '../../../../../agent/model/export/hugging-face.ts';
import { exportHuggingFace } from '../../../../../agent/model/export/index.ts';
import { bf16 } from '../../../../../agent/model/export/number-formats.ts';
import { openTokenizer } from '../../../../../agent/model/tokenizer.ts';
import { checkpoint, tokenizer } from '../seedling.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xiaohe-hf-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const bytesOf = (values: Float32Array) => Buffer.from(values.slice().buffer);
const json = (...path: string[]) => JSON.parse(readFileSync(join(folder, ...path), 'utf8'));

describe('an exported directory', () => {
  it('holds the same numbers in fp32, sharded', async () => {
    await exportHuggingFace(checkpoint, join(folder, 'f32'), { dtype: 'float32', maxShardBytes: 10e6 });
    const opened = await openCheckpoint(join(folder, 'f32'));
    expect(opened.config).toEqual(checkpoint.config);
    for (const name of tensorShapes(checkpoint.config).keys()) {
      expect(opened.isQuantised(name)).toBe(false);
      expect(Buffer.compare(bytesOf(opened.float(name).values), bytesOf(checkpoint.float(name).values)), name).toBe(0);
    }
    const index = json('f32', 'model.safetensors.index.json');
    expect(index.metadata.total_size).toBe(checkpoint.parameters * 4);
    for (const file of new Set<string>(Object.values(index.weight_map)))
      expect(existsSync(join(folder, 'f32', file))).toBe(true);
    expect(json('f32', 'config.json')).toMatchObject({ dtype: 'float32', torch_dtype: 'float32' });
  });

  it('holds them rounded once in bf16, in one file', async () => {
    await exportHuggingFace(checkpoint, join(folder, 'bf16'));
    const opened = await openCheckpoint(join(folder, 'bf16'));
    for (const name of ['model.embed_tokens.weight', 'model.norm.weight', 'model.layers.5.mlp.gate.weight']) {
      const rounded = Buffer.concat([...bf16(checkpoint.float(name).values)]);
      const again = Buffer.concat([...bf16(opened.float(name).values)]);
      expect(Buffer.compare(rounded, again), name).toBe(0);
    }
    const config = json('bf16', 'config.json');
    expect(config.dtype).toBe('bfloat16');
    expect(config.xiaohe).toEqual({ name: checkpoint.config.name, version: checkpoint.config.version });
    expect(existsSync(join(folder, 'bf16', 'model.safetensors.index.json'))).toBe(false);
  });

  it('keeps tokenizer, template and codec, and cuts text as the original does', async () => {
    const same = ['tokenizer.json', 'chat_template.jinja', 'generation_config.json', 'README.md'];
    for (const name of same)
      expect(readFileSync(join(folder, 'bf16', name))).toEqual(readFileSync(join(checkpoint.directory, name)));
    const opened = await openTokenizer(join(folder, 'bf16'), checkpoint.config.vocabulary);
    const text = '你好，小禾！ Hello 123 😀 e\u0301';
    expect(opened.encode(text)).toEqual(tokenizer.encode(text));
    // Qwen2Tokenizer of transformers 5 would normalise the é.
    expect(json('bf16', 'tokenizer_config.json')).toMatchObject({
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: '<|im_end|>',
    });
    const codec = join(checkpoint.directory, 'codec');
    expect(existsSync(join(folder, 'bf16', 'codec', 'config.json'))).toBe(existsSync(codec));
  });

  it('takes the retrieval head along, and nothing that modules.json names elsewhere', async () => {
    const source = join(folder, 'with-head');
    cpSync(checkpoint.directory, source, { recursive: true });
    mkdirSync(join(folder, 'outside'), { recursive: true });
    writeFileSync(join(folder, 'outside', 'secret'), 'x');
    mkdirSync(join(source, 'notes'));
    for (const name of ['1_Pooling', '2_Dense']) {
      mkdirSync(join(source, name), { recursive: true });
      writeFileSync(join(source, name, 'config.json'), `{"in":"${name}"}`);
    }
    const paths = ['', '1_Pooling', '2_Dense', '3_Normalize', '../outside', '/etc'];
    writeFileSync(join(source, 'modules.json'), JSON.stringify(paths.map((path, idx) => ({ idx, path }))));
    // Only what stands beside the weights is copied here; whether the head fits is the opener's to judge.
    await exportHuggingFace({ ...checkpoint, directory: source }, join(folder, 'head-out'));
    for (const name of ['1_Pooling', '2_Dense']) expect(json('head-out', name, 'config.json')).toEqual({ in: name });
    expect(json('head-out', 'modules.json')).toHaveLength(paths.length);
    for (const name of ['notes', 'outside', 'etc', '3_Normalize'])
      expect(existsSync(join(folder, 'head-out', name))).toBe(false);
  });
});

it('plans shards that hold every tensor once, in order, within the size', () => {
  const names = [...tensorShapes(checkpoint.config).keys()];
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40_000_000 }), (most) => {
      const shards = planShards(checkpoint.config, 2, most);
      expect(shards.flatMap(({ tensors }) => tensors.map(({ name }) => name))).toEqual(names);
      for (const { tensors } of shards) {
        const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
        if (tensors.length > 1) expect(bytes).toBeLessThanOrEqual(most);
      }
      expect(new Set(shards.map(({ file }) => file)).size).toBe(shards.length);
    }),
  );
});
