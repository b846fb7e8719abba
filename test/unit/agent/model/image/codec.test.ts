/**
 * The codec here against the same weights in PyTorch, on made-up pictures and random codes; and every way a codec directory
 * can be broken. The reference is written by `pretrain/codec.py --reference` whenever weights are shipped.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCodec, type PictureCodec } from '../../../../../agent/model/image/index.ts';
import { SHIPPED_CHECKPOINT } from '../../../../../agent/model/index.ts';

interface Reference {
  weights: string;
  /** zlib of RGB bytes, base64. */
  pictures: string[];
  latents: number[][];
  codes: number[][];
  /** Of the painted bytes, every `stride`-th. */
  stride: number;
  painted: string[];
}
const DIRECTORY = join(SHIPPED_CHECKPOINT, 'codec');
const reference: Reference = JSON.parse(readFileSync(new URL('./reference-codec.json', import.meta.url), 'utf8'));
const unpack = (text: string) => Uint8Array.from(inflateSync(Buffer.from(text, 'base64')));

/** Channel values nearer to a rounding edge than this may fall on either side, as fp32 sums in another order do. */
const EDGE = 2e-3;

let codec: PictureCodec;
beforeAll(async () => {
  codec = await openCodec(DIRECTORY);
});

describe('the shipped codec', () => {
  it('is the one the reference was made with', () => {
    expect(codec.sha256).toBe(reference.weights);
    expect(codec).toMatchObject({ codesPerPicture: 64, codebookSize: 1000 });
  });

  it('sees what PyTorch sees', () => {
    for (const [i, packed] of reference.pictures.entries()) {
      const rgb = unpack(packed);
      const latents = codec.latents(rgb);
      const codes = codec.encode(rgb);
      const expected = reference.latents[i]!;
      const worst = Math.max(...expected.map((value, k) => Math.abs(value - latents[k]!)));
      expect(worst, `picture ${i}`).toBeLessThan(EDGE / 2);
      for (let cell = 0; cell < 64; cell++) {
        const sure = latents.slice(cell * 4, cell * 4 + 4).every((v) => Math.abs(v - Math.floor(v) - 0.5) > EDGE);
        if (sure) expect(codes[cell], `picture ${i}, cell ${cell}`).toBe(reference.codes[i]![cell]);
      }
    }
  });

  it('paints what PyTorch paints, sensible codes and random ones', () => {
    for (const [i, codes] of reference.codes.entries()) {
      const painted = codec.decode(codes).filter((_, at) => at % reference.stride === 0);
      const expected = unpack(reference.painted[i]!);
      expect(painted.length).toBe(expected.length);
      const worst = Math.max(...expected.map((value, k) => Math.abs(value - painted[k]!)));
      expect(worst, `codes ${i}`).toBeLessThanOrEqual(1);
    }
  });

  it('keeps a plain picture recognisable through its codes', () => {
    const disc = unpack(reference.pictures[0]!);
    const again = codec.decode(codec.encode(disc));
    const at = (rgb: Uint8Array, x: number, y: number) => Array.from(rgb.slice((y * 64 + x) * 3, (y * 64 + x) * 3 + 3));
    const [red, green, blue] = at(again, 30, 36);
    expect(red! - Math.max(green!, blue!)).toBeGreaterThan(60);
    expect(Math.min(...at(again, 2, 2))).toBeGreaterThan(220);
  });

  it('makes codes in range of any picture, and a picture of any codes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12_288, maxLength: 12_288 }), (rgb) => {
        const codes = codec.encode(rgb);
        expect(codes.length).toBe(64);
        expect(codes.every((code) => code < 1000)).toBe(true);
        expect(codec.decode(codes).length).toBe(12_288);
      }),
      { numRuns: 5 },
    );
  });

  it('refuses what is no picture and what are no codes', () => {
    expect(() => codec.encode(new Uint8Array(100))).toThrowError(
      expect.objectContaining({ code: 'PICTURE_UNREADABLE' }),
    );
    for (const codes of [
      [],
      new Array(63).fill(0),
      new Array(64).fill(1000),
      new Array(64).fill(-1),
      new Array(64).fill(0.5),
    ])
      expect(() => codec.decode(codes)).toThrowError(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
  });
});

describe('a broken codec directory', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'xiaohe-codec-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** A copy of the shipped directory, changed. */
  function variant(change: (directory: string) => void): string {
    const directory = mkdtempSync(join(folder, 'variant-'));
    cpSync(DIRECTORY, directory, { recursive: true });
    change(directory);
    return directory;
  }
  const withConfig = (edit: (config: { encoder: unknown[]; decoder: unknown[] }) => void) =>
    variant((directory) => {
      const path = join(directory, 'config.json');
      const config = JSON.parse(readFileSync(path, 'utf8'));
      edit(config);
      writeFileSync(path, JSON.stringify(config));
    });
  const withWeights = (edit: (bytes: Buffer) => Uint8Array) =>
    variant((directory) => {
      const path = join(directory, 'model.safetensors');
      writeFileSync(path, edit(readFileSync(path)));
    });

  const cases: [string, () => string, string][] = [
    ['no directory', () => join(folder, 'nowhere'), 'CHECKPOINT_MISSING'],
    ['no weights', () => variant((d) => unlinkSync(join(d, 'model.safetensors'))), 'CHECKPOINT_MISSING'],
    ['config.json no JSON', () => variant((d) => writeFileSync(join(d, 'config.json'), '{')), 'CHECKPOINT_BROKEN'],
    [
      'another kind of model',
      () => withConfig((c) => Object.assign(c, { model_type: 'vqgan' })),
      'CHECKPOINT_UNSUPPORTED',
    ],
    [
      'an unknown layer',
      () => withConfig((c) => Object.assign(c, { encoder: [['attention', 4]] })),
      'CHECKPOINT_UNSUPPORTED',
    ],
    ['a layer too few', () => withConfig((c) => c.decoder.pop()), 'CHECKPOINT_UNSUPPORTED'],
    ['layers that do not fit', () => withConfig((c) => c.encoder.shift()), 'CHECKPOINT_UNSUPPORTED'],
    ['other levels', () => withConfig((c) => Object.assign(c, { levels: [8, 5, 5] })), 'CHECKPOINT_UNSUPPORTED'],
    ['weights cut off', () => withWeights((b) => b.subarray(0, b.length - 1000)), 'CHECKPOINT_BROKEN'],
    ['empty weights', () => withWeights(() => Buffer.alloc(0)), 'CHECKPOINT_BROKEN'],
    [
      'a tensor by another name',
      () =>
        withWeights((b) => {
          b.write('dec0der.0.bias', b.indexOf('decoder.0.bias'));
          return b;
        }),
      'CHECKPOINT_BROKEN',
    ],
    [
      'weights that are no numbers',
      () =>
        withWeights((b) => {
          const data = 8 + Number(b.readBigUInt64LE());
          return b.fill(0xff, data, data + 64); // fp32 comes first: these become NaN
        }),
      'CHECKPOINT_BROKEN',
    ],
  ];
  it.each(cases)('%s', async (_, make, code) => {
    await expect(openCodec(make())).rejects.toMatchObject({ name: 'ModelError', code });
  });
});
