/** The retrieval head: right numbers from a tiny one, and a coded error for every way of being another or broken. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Scheduler } from '../../../../agent/model/host/scheduler.ts';
import { openRetrievalHead } from '../../../../agent/model/retrieval.ts';
import type { Engine } from '../../../../agent/model/types.ts';
import { checkpoint, tokenizer } from './seedling.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xiaohe-head-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const kinds = (...names: string[]) =>
  names.map((name, i) => ({
    idx: i,
    name: String(i),
    path: i === 0 ? '' : `${i}_${name}`,
    type: `sentence_transformers.models.${name}`,
  }));
const GOOD = {
  modules: kinds('Transformer', 'Pooling', 'Dense', 'Normalize') as unknown,
  pooling: { word_embedding_dimension: 3, pooling_mode_mean_tokens: true, pooling_mode_cls_token: false } as unknown,
  dense: {
    in_features: 3,
    out_features: 2,
    bias: true,
    activation_function: 'torch.nn.modules.linear.Identity',
  } as unknown,
  tensors: {
    'linear.weight': [
      [2, 3],
      [1, 2, 3, -1, 0, 0.5],
    ],
    'linear.bias': [[2], [10, 20]],
  } as Record<string, [number[], number[]]>,
};

function safetensors(tensors: Record<string, [number[], number[]]>): Buffer {
  const header: Record<string, unknown> = {};
  let at = 0;
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + 4 * values.length] };
    at += 4 * values.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  const data = Object.values(tensors).map(([, values]) => Buffer.from(Float32Array.from(values).buffer));
  return Buffer.concat([prefix, text, ...data]);
}

function directory(edit: Partial<typeof GOOD> = {}, lost?: string): string {
  const { modules, pooling, dense, tensors } = { ...GOOD, ...edit };
  const path = mkdtempSync(join(folder, 'head-'));
  for (const name of ['1_Pooling', '2_Dense']) mkdirSync(join(path, name));
  const files: Record<string, string | Buffer> = {
    'modules.json': JSON.stringify(modules),
    '1_Pooling/config.json': JSON.stringify(pooling),
    '2_Dense/config.json': JSON.stringify(dense),
    '2_Dense/model.safetensors': safetensors(tensors),
  };
  for (const [name, content] of Object.entries(files)) if (name !== lost) writeFileSync(join(path, name), content);
  return path;
}

describe('retrieval head', () => {
  it('multiplies and adds', async () => {
    const head = (await openRetrievalHead(directory(), 3))!;
    expect(head.width).toBe(2);
    expect([...head.apply(Float32Array.of(1, 1, 2))]).toEqual([1 + 2 + 6 + 10, -1 + 1 + 20]);
    const plain = { ...(GOOD.dense as object), bias: false };
    const { 'linear.weight': weight } = GOOD.tensors;
    const bare = await openRetrievalHead(directory({ dense: plain, tensors: { 'linear.weight': weight! } }), 3);
    expect([...bare!.apply(Float32Array.of(1, 1, 2))]).toEqual([9, 0]);
    const named = directory({ pooling: { pooling_mode: 'mean' } });
    expect((await openRetrievalHead(named, 3))!.width).toBe(2);
  });

  it('may be absent, or stop at pooling', async () => {
    expect(await openRetrievalHead(directory({}, 'modules.json'), 3)).toBeUndefined();
    const pooled = directory({ modules: kinds('Transformer', 'Pooling', 'Normalize') });
    expect(await openRetrievalHead(pooled, 3)).toBeUndefined();
  });

  const other = (over: object) => ({ ...(GOOD.dense as object), ...over });
  const cases: [string, Partial<typeof GOOD>, string | undefined, string, string][] = [
    ['modules that are no list', { modules: {} }, undefined, 'CHECKPOINT_BROKEN', 'modules.json'],
    [
      'another order',
      { modules: kinds('Transformer', 'Dense', 'Pooling') },
      undefined,
      'CHECKPOINT_UNSUPPORTED',
      'Dense Pooling',
    ],
    [
      'another module',
      { modules: kinds('Transformer', 'Pooling', 'LSTM') },
      undefined,
      'CHECKPOINT_UNSUPPORTED',
      'LSTM',
    ],
    [
      'a way out of the directory',
      { modules: [...kinds('Transformer', 'Pooling'), { path: '../2_Dense', type: 'x.Dense' }] },
      undefined,
      'CHECKPOINT_BROKEN',
      'leads out',
    ],
    ['another pooling', { pooling: { pooling_mode_cls_token: true } }, undefined, 'CHECKPOINT_UNSUPPORTED', 'cls'],
    [
      'two poolings',
      { pooling: { pooling_mode_mean_tokens: true, pooling_mode_max_tokens: true } },
      undefined,
      'CHECKPOINT_UNSUPPORTED',
      'mean',
    ],
    ['no pooling file', {}, '1_Pooling/config.json', 'CHECKPOINT_MISSING', '1_Pooling'],
    ['no dense file', {}, '2_Dense/config.json', 'CHECKPOINT_MISSING', '2_Dense'],
    ['no weights', {}, '2_Dense/model.safetensors', 'CHECKPOINT_MISSING', 'model.safetensors'],
    [
      'an activation',
      { dense: other({ activation_function: 'torch.nn.modules.activation.Tanh' }) },
      undefined,
      'CHECKPOINT_UNSUPPORTED',
      'Tanh',
    ],
    ['another width than the network', { dense: other({ in_features: 4 }) }, undefined, 'CHECKPOINT_BROKEN', 'gives 3'],
    [
      'another width than its weights',
      { dense: other({ out_features: 5 }) },
      undefined,
      'CHECKPOINT_BROKEN',
      'linear.weight',
    ],
    [
      'a lost bias',
      { tensors: { 'linear.weight': GOOD.tensors['linear.weight']! } },
      undefined,
      'CHECKPOINT_BROKEN',
      'linear.bias',
    ],
    [
      'a weight that is no number',
      { tensors: { ...GOOD.tensors, 'linear.bias': [[2], [Number.NaN, 1]] } },
      undefined,
      'CHECKPOINT_BROKEN',
      'element 0',
    ],
  ];
  it.each(cases)('with %s is refused', async (_, edit, lost, code, names) => {
    await expect(openRetrievalHead(directory(edit, lost), 3)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(names),
    });
  });

  it('turns what the engine pooled into unit rows, zeros for no text', async () => {
    const head = await openRetrievalHead(directory(), 3);
    const engine: Engine = {
      info: { name: 'cpu', device: '', gpu: false, threads: 1 },
      pages: 4,
      step: () => Promise.reject(new Error('nothing to generate')),
      embed: (tokens) => Promise.resolve(Float32Array.of(tokens.length, 1, 0)),
      close: () => Promise.resolve(),
    };
    const crash = (cause: unknown) => {
      throw cause;
    };
    const scheduler = new Scheduler({ engine, tokenizer, config: checkpoint.config, head, emit: () => {}, crash });
    const rows = await scheduler.embed(['春天', '']);
    // [2, 1, 0] → [2 + 2 + 10, −2 + 20] → normalised.
    const length = Math.hypot(14, 18);
    expect(rows[0]![0]).toBeCloseTo(14 / length, 6);
    expect(rows[0]![1]).toBeCloseTo(18 / length, 6);
    expect([...rows[1]!]).toEqual([0, 0]);
  });
});
