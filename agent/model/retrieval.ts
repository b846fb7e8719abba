/**
 * The retrieval head of a checkpoint in sentence-transformers' layout: mean pooling, one linear layer, normalising. It
 * turns the network's mean hidden state into the vector that memory searches with. A directory without `modules.json`
 * has none.
 */
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { ModelError } from './types.ts';
import { broken, checkFinite, readJson, readWeights, toFloat32 } from './weights.ts';

export interface RetrievalHead {
  /** Width of what comes out. */
  readonly width: number;
  /** Not yet normalised. */
  apply(pooled: Float32Array): Float32Array;
}

const Modules = z.array(z.looseObject({ path: z.string(), type: z.string() }));
const Dense = z.looseObject({
  in_features: z.int().positive(),
  out_features: z.int().positive(),
  bias: z.boolean().default(true),
  activation_function: z.string(),
});

/** `hidden` is the network's width. Throws CHECKPOINT_* for a head that is broken or computes something else. */
export async function openRetrievalHead(directory: string, hidden: number): Promise<RetrievalHead | undefined> {
  const path = join(directory, 'modules.json');
  const json = await readJson(path, false);
  if (json === undefined) return undefined;
  const parsed = Modules.safeParse(json);
  if (!parsed.success) throw new ModelError('CHECKPOINT_BROKEN', `${path}: not a list of modules`);
  // `sentence_transformers.models.Dense`, in whatever package a version keeps it.
  const modules = parsed.data.map((module) => ({ ...module, kind: module.type.split('.').at(-1) }));
  const order = modules.map(({ kind }) => kind).join(' ');
  if (!/^Transformer Pooling( Dense)?( Normalize)?$/.test(order))
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${path}: ${order} is not Transformer, Pooling, Dense, Normalize`);
  for (const module of modules)
    if (isAbsolute(module.path) || module.path.split(/[/\\]/).includes('..'))
      throw new ModelError('CHECKPOINT_BROKEN', `${path}: ${module.path} leads out of the checkpoint`);
  await checkPooling(join(directory, modules[1]!.path, 'config.json'));
  const dense = modules.find(({ kind }) => kind === 'Dense');
  return dense && openDense(join(directory, dense.path), hidden);
}

async function checkPooling(path: string): Promise<void> {
  const config = z.looseObject({ pooling_mode: z.unknown().optional() }).safeParse(await readJson(path, true));
  if (!config.success) throw new ModelError('CHECKPOINT_BROKEN', `${path}: not a pooling configuration`);
  // Older versions write a flag for each mode, newer ones the mode's name.
  const flags = Object.entries(config.data).filter(([key, on]) => key.startsWith('pooling_mode_') && on === true);
  const modes = typeof config.data.pooling_mode === 'string' ? [config.data.pooling_mode] : flags.map(([key]) => key);
  if (modes.length !== 1 || !['mean', 'pooling_mode_mean_tokens'].includes(modes[0]!))
    throw new ModelError(
      'CHECKPOINT_UNSUPPORTED',
      `${path}: only mean pooling is supported, not ${modes.join(', ') || 'none'}`,
    );
}

async function openDense(directory: string, hidden: number): Promise<RetrievalHead> {
  const path = join(directory, 'config.json');
  const parsed = Dense.safeParse(await readJson(path, true));
  if (!parsed.success) throw new ModelError('CHECKPOINT_BROKEN', `${path}: ${z.prettifyError(parsed.error)}`);
  const { in_features, out_features: width, bias: hasBias, activation_function } = parsed.data;
  if (!/(^|\.)Identity$/.test(activation_function))
    throw new ModelError('CHECKPOINT_UNSUPPORTED', `${path}: activation ${activation_function} is not supported`);
  if (in_features !== hidden)
    throw new ModelError('CHECKPOINT_BROKEN', `${path}: takes ${in_features} numbers, the network gives ${hidden}`);
  const file = await readWeights(join(directory, 'model.safetensors'));
  const tensor = (name: string, shape: number[]): Float32Array => {
    const entry = file.table.get(name) ?? broken(file.path, name, 'is missing');
    if (entry.shape.join() !== shape.join() || entry.dtype === 'I8')
      broken(file.path, name, `is ${entry.dtype} [${entry.shape}], its config.json asks for floats [${shape}]`);
    checkFinite(file, name, entry);
    return toFloat32(file, entry);
  };
  const weight = tensor('linear.weight', [width, hidden]);
  const bias = hasBias ? tensor('linear.bias', [width]) : undefined;
  return {
    width,
    apply: (pooled) =>
      Float32Array.from({ length: width }, (_, row) => {
        let sum = bias?.[row] ?? 0;
        for (let i = 0; i < hidden; i++) sum += weight[row * hidden + i]! * pooled[i]!;
        return sum;
      }),
  };
}
