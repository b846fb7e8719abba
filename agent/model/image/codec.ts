/**
 * The picture codec: 64×64 RGB ↔ 8×8 codes of 1,000 by finite scalar quantisation (arXiv 2309.15505). Each of the encoder's
 * four channels is squashed to its number of levels and rounded; the levels' digits make the code. The weights lie in
 * the checkpoint's `codec/` and come from `pretrain/codec.py`.
 *
 * Synchronous on purpose: whoever calls it decides which thread waits. One picture is tens of milliseconds each way.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { BLOCK, dequantise } from '../checkpoint.ts';
import type { TensorEntry } from '../safetensors.ts';
import { ModelError } from '../types.ts';
import { broken, halfWords, readJson, readWeights, toFloat32, type WeightsFile } from '../weights.ts';
import { compile, Layer, type Weights } from './network.ts';
import { PICTURE_SIZE } from './resize.ts';

const Config = z.object({
  model_type: z.literal('fsq_picture_codec'),
  version: z.string(),
  size: z.literal(PICTURE_SIZE),
  grid: z.int().min(1).max(PICTURE_SIZE),
  levels: z.array(z.int().min(2).max(64)).min(1).max(16),
  groups: z.int().min(1),
  epsilon: z.number().positive(),
  /** Slightly above 1, so that the outermost levels can be reached: tanh alone never gets to its ends. */
  squash: z.number().min(1).max(1.1),
  encoder: z.array(Layer).max(64),
  decoder: z.array(Layer).max(64),
});

export interface PictureCodec {
  readonly version: string;
  /** SHA-256 of the codec's model.safetensors, hex. */
  readonly sha256: string;
  /** Codes a picture has, and values a code can take. */
  readonly codesPerPicture: number;
  readonly codebookSize: number;
  /** RGB [64, 64, 3], 0–255, on white → codes, row by row. Throws PICTURE_UNREADABLE on another size. */
  encode(rgb: Uint8Array): Uint16Array;
  /** The encoder's bounded channels before rounding, [grid, grid, levels.length]; whole numbers are levels. For tests and studies. */
  latents(rgb: Uint8Array): Float64Array;
  /** Codes → RGB [64, 64, 3]. Throws TOKEN_OUT_OF_RANGE on a code that is none, or another count. */
  decode(codes: ArrayLike<number>): Uint8Array<ArrayBuffer>;
}

/** Opens a codec directory. Throws CHECKPOINT_MISSING, CHECKPOINT_BROKEN or CHECKPOINT_UNSUPPORTED. */
export async function openCodec(directory: string): Promise<PictureCodec> {
  const config = await readConfig(join(directory, 'config.json'));
  const hash = createHash('sha256');
  const tensor = tensorsOf(await readWeights(join(directory, 'model.safetensors'), hash));
  const { grid, levels, groups, epsilon, squash } = config;
  const picture = { side: PICTURE_SIZE, channels: 3 };
  const codes = { side: grid, channels: levels.length };
  const encoder = compile('encoder', config.encoder, picture, codes, { tensor, groups, epsilon });
  const decoder = compile('decoder', config.decoder, codes, picture, { tensor, groups, epsilon });
  const codebookSize = levels.reduce((product, n) => product * n, 1);
  const cells = grid * grid;

  const latents = (rgb: Uint8Array): Float64Array => {
    if (rgb.length !== PICTURE_SIZE * PICTURE_SIZE * 3)
      throw new ModelError('PICTURE_UNREADABLE', `a picture has 64×64×3 values, not ${rgb.length}`);
    const values = Float64Array.from(rgb, (v) => v / 127.5 - 1);
    const out = encoder({ height: PICTURE_SIZE, width: PICTURE_SIZE, channels: 3, values }).values;
    return out.map((v, i) => bound(v, levels[i % levels.length]!, squash));
  };
  return {
    version: config.version,
    sha256: hash.digest('hex'),
    codesPerPicture: cells,
    codebookSize,
    latents,
    encode(rgb) {
      const z = latents(rgb);
      return Uint16Array.from({ length: cells }, (_, cell) => {
        let code = 0;
        for (let c = levels.length - 1; c >= 0; c--)
          code = code * levels[c]! + Math.round(z[cell * levels.length + c]!) + (levels[c]! >> 1);
        return code;
      });
    },
    decode(list) {
      if (list.length !== cells)
        throw new ModelError('TOKEN_OUT_OF_RANGE', `a picture has ${cells} codes, not ${list.length}`);
      const values = new Float64Array(cells * levels.length);
      for (let cell = 0, at = 0; cell < cells; cell++) {
        let rest = list[cell]!;
        if (!Number.isInteger(rest) || rest < 0 || rest >= codebookSize)
          throw new ModelError('TOKEN_OUT_OF_RANGE', `${rest} is not a picture code`);
        for (const n of levels) {
          values[at++] = ((rest % n) - (n >> 1)) / (n >> 1);
          rest = Math.floor(rest / n);
        }
      }
      const plane = decoder({ height: grid, width: grid, channels: levels.length, values });
      return Uint8Array.from(plane.values, (v) => Math.min(Math.max(Math.round((v + 1) * 127.5), 0), 255));
    },
  };
}

/** Any number → between its channel's lowest and highest level. An even count of levels lies around a half. */
function bound(value: number, levels: number, squash: number): number {
  const half = ((levels - 1) * squash) / 2;
  const offset = levels % 2 === 0 ? 0.5 : 0;
  return Math.tanh(value + Math.atanh(offset / half)) * half - offset;
}

async function readConfig(path: string): Promise<z.infer<typeof Config>> {
  const parsed = Config.safeParse(await readJson(path, true));
  if (!parsed.success) throw new ModelError('CHECKPOINT_UNSUPPORTED', `${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** A reader of tensors as numbers: int8 blocks with their scales, or floating point. */
function tensorsOf(file: WeightsFile): Weights['tensor'] {
  const { path, table, memory } = file;
  const numbers = (name: string, entry: TensorEntry): Float32Array => {
    if (entry.dtype !== 'I8') return toFloat32(file, entry);
    const [rows = 0, cols = 0] = entry.shape;
    const scale = table.get(`${name}.scale`) ?? broken(path, name, 'has no scales');
    if (scale.dtype !== 'F16' || entry.bytes !== rows * cols || scale.bytes !== (2 * rows * cols) / BLOCK)
      broken(path, name, `[${entry.shape}] does not have one fp16 scale for each block of ${BLOCK}`);
    const values = new Int8Array(memory, entry.begin, entry.bytes);
    return dequantise({ rows, cols, values, scales: halfWords(file, scale) });
  };
  return (name, length) => {
    const values = numbers(name, table.get(name) ?? broken(path, name, 'is missing'));
    if (values.length !== length) broken(path, name, `holds ${values.length} numbers, config.json asks for ${length}`);
    if (!values.every(Number.isFinite)) broken(path, name, 'holds something that is not a finite number');
    return Float64Array.from(values);
  };
}
