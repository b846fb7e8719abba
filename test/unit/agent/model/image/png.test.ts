/** PNGs of every kind come in right, bad ones are refused with a code, and what goes out says what it is. */
import { crc32, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { decode, encode, type ImageData } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { MAX_PNG_BYTES, readPng, toPicture, writePng } from '../../../../../agent/model/image/index.ts';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}
interface Made {
  width: number;
  height: number;
  depth?: number;
  colourType?: number;
  interlace?: number;
  /** Scanlines, filter bytes included; or a finished zlib stream. */
  raw?: Uint8Array;
  deflated?: Uint8Array;
  before?: Buffer[];
}
/** A PNG by hand, for what no well-meaning encoder writes. */
function made({ width, height, depth = 8, colourType = 2, interlace = 0, raw, deflated, before = [] }: Made): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colourType, 0, 0, interlace], 8);
  return Buffer.concat([
    Buffer.from(SIGNATURE),
    chunk('IHDR', header),
    ...before,
    chunk('IDAT', deflated ?? deflateSync(raw ?? Buffer.alloc(height * (1 + width * 3)))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
const withCode = (code: string) => expect.objectContaining({ name: 'ModelError', code });

describe('reading', () => {
  const size = { width: 3, height: 2 };
  const grey = Uint8Array.of(0, 50, 100, 150, 200, 255);
  const spread = (values: Uint8Array) => Array.from(values, (v) => [v, v, v]).flat();

  const kinds: [string, Uint8Array, number[]][] = [
    ['grey', encode({ ...size, channels: 1, data: grey }), spread(grey)],
    [
      'grey, 16 bits',
      encode({ ...size, channels: 1, depth: 16, data: Uint16Array.from(grey, (v) => v * 257) }),
      spread(grey),
    ],
    ['grey, interlaced', encode({ ...size, channels: 1, data: grey }, { interlace: 'Adam7' }), spread(grey)],
    [
      'RGB',
      encode({ ...size, channels: 3, data: Uint8Array.from({ length: 18 }, (_, i) => i * 14) }),
      Array.from({ length: 18 }, (_, i) => i * 14),
    ],
    [
      'transparent and half-transparent red on white',
      encode({ width: 2, height: 1, channels: 4, data: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 128) }),
      [255, 255, 255, 255, 127, 127],
    ],
    [
      'grey with opacity',
      encode({ width: 2, height: 1, channels: 2, data: Uint8Array.of(0, 255, 0, 0) }),
      [0, 0, 0, 255, 255, 255],
    ],
    [
      'a palette of 2 bits with a transparent entry',
      made({
        width: 5,
        height: 1,
        depth: 2,
        colourType: 3,
        raw: Uint8Array.of(0, 0b00_01_10_00, 0b01_000000),
        before: [chunk('PLTE', Uint8Array.of(9, 8, 7, 200, 0, 0, 0, 0, 200)), chunk('tRNS', Uint8Array.of(255, 0))],
      }),
      [9, 8, 7, 255, 255, 255, 0, 0, 200, 9, 8, 7, 255, 255, 255],
    ],
    [
      'one bit',
      made({ width: 9, height: 1, depth: 1, colourType: 0, raw: Uint8Array.of(0, 0b10000001, 0b10000000) }),
      spread(Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 255, 255)),
    ],
    [
      'RGB with a palette that is only advice',
      made({ width: 1, height: 1, raw: Uint8Array.of(0, 7, 8, 9), before: [chunk('PLTE', Uint8Array.of(1, 1, 1))] }),
      [7, 8, 9],
    ],
    [
      'a colour that means transparent',
      made({
        width: 3,
        height: 1,
        raw: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        before: [chunk('tRNS', Uint8Array.of(0, 1, 0, 2, 0, 3))],
      }),
      [255, 255, 255, 4, 5, 6, 7, 8, 9],
    ],
  ];
  it.each(kinds)('%s', (_, png, rgb) => {
    expect(Array.from(readPng(png).rgb)).toEqual(rgb);
  });

  it('gives back any RGB picture, interlaced or not', () => {
    const picture = fc.integer({ min: 1, max: 20 }).chain((width) =>
      fc.integer({ min: 1, max: 20 }).chain((height) =>
        fc.record({
          width: fc.constant(width),
          height: fc.constant(height),
          data: fc.uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 }),
        }),
      ),
    );
    fc.assert(
      fc.property(picture, fc.constantFrom('null' as const, 'Adam7' as const), ({ width, height, data }, interlace) => {
        const { rgb, ...found } = readPng(
          encode({ width, height, data, channels: 3 } satisfies ImageData, { interlace }),
        );
        expect(found).toEqual({ width, height });
        expect(rgb).toEqual(data);
      }),
    );
  });
});

describe('refusing', () => {
  const good = made({ width: 4, height: 4 });
  const bomb = deflateSync(Buffer.alloc(64 << 20));
  const cases: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(), 'PICTURE_UNREADABLE'],
    ['a JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]), 'PICTURE_UNREADABLE'],
    ['text', Buffer.from('<svg onload="alert(1)"/>'), 'PICTURE_UNREADABLE'],
    ['only the signature', Buffer.from(SIGNATURE), 'PICTURE_UNREADABLE'],
    ['a file without its end', good.subarray(0, good.length - 12), 'PICTURE_UNREADABLE'],
    ['no width', made({ width: 0, height: 4 }), 'PICTURE_UNREADABLE'],
    ['a colour type there is not', made({ width: 4, height: 4, colourType: 5 }), 'PICTURE_UNREADABLE'],
    ['a depth there is not', made({ width: 4, height: 4, depth: 7 }), 'PICTURE_UNREADABLE'],
    ['RGB of 1 bit', made({ width: 8, height: 1, depth: 1, raw: Uint8Array.of(0, 0, 0, 0) }), 'PICTURE_UNREADABLE'],
    [
      'packed and interlaced',
      made({ width: 4, height: 4, depth: 1, colourType: 0, interlace: 1 }),
      'PICTURE_UNREADABLE',
    ],
    ['too few pixels', made({ width: 4, height: 4, raw: Buffer.alloc(20) }), 'PICTURE_UNREADABLE'],
    ['no zlib data', made({ width: 4, height: 4, deflated: Buffer.from('hello') }), 'PICTURE_UNREADABLE'],
    ['a filter there is not', made({ width: 1, height: 1, raw: Uint8Array.of(9, 0, 0, 0) }), 'PICTURE_UNREADABLE'],
    [
      'a palette that is missing',
      made({ width: 1, height: 1, colourType: 3, raw: Uint8Array.of(0, 0) }),
      'PICTURE_UNREADABLE',
    ],
    ['two headers', made({ width: 4, height: 4, before: [chunk('IHDR', Buffer.alloc(13))] }), 'PICTURE_UNREADABLE'],
    [
      'a chunk nobody knows',
      made({ width: 4, height: 4, before: [chunk('BOMB', Buffer.alloc(4))] }),
      'PICTURE_UNREADABLE',
    ],
    [
      'a million empty chunks',
      made({ width: 4, height: 4, before: new Array(1_000_000).fill(chunk('tEXt', Buffer.alloc(0))) }),
      'PICTURE_UNREADABLE',
    ],
    ['65,535 × 65,535 pixels', made({ width: 65_535, height: 65_535, raw: Buffer.alloc(1) }), 'PICTURE_TOO_LARGE'],
    ['4,294,967,295 × 1 pixels', made({ width: 0xffffffff, height: 1, raw: Buffer.alloc(1) }), 'PICTURE_TOO_LARGE'],
    ['too many bytes', Buffer.alloc(MAX_PNG_BYTES + 1), 'PICTURE_TOO_LARGE'],
    ['64 MB behind a header of 4 × 4', made({ width: 4, height: 4, deflated: bomb }), 'PICTURE_UNREADABLE'],
  ];
  it.each(cases)('%s', (_, bytes, code) => {
    expect(() => readPng(bytes)).toThrowError(withCode(code));
  });

  it('never inflates a colour profile or a text', () => {
    const profile = Buffer.concat([Buffer.from('icc\0\0', 'latin1'), bomb]);
    const text = Buffer.concat([Buffer.from('Comment\0\0', 'latin1'), bomb]);
    const png = made({ width: 4, height: 4, before: [chunk('iCCP', profile), chunk('zTXt', text)] });
    const before = process.memoryUsage().arrayBuffers;
    expect(readPng(png).rgb.length).toBe(48);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 << 20);
  });

  it('anything with one byte changed, cut or added, by a code or not at all', () => {
    const source = encode({
      width: 5,
      height: 5,
      channels: 4,
      data: Uint8Array.from({ length: 100 }, (_, i) => (i * 37) & 255),
    });
    fc.assert(
      fc.property(fc.nat(source.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
        const bytes = cut ? source.slice(0, at) : source.slice();
        if (!cut) bytes[at] = value;
        try {
          expect(readPng(bytes).rgb.length).toBe(75);
        } catch (error) {
          expect(error).toEqual(
            expect.objectContaining({ name: 'ModelError', code: expect.stringMatching(/^PICTURE_/) }),
          );
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('to 64 × 64', () => {
  const plain = (width: number, height: number, colour: number[]) => ({
    width,
    height,
    rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => colour[i % 3]!),
  });

  it('leaves a picture of that size as it is', () => {
    const rgb = Uint8Array.from({ length: 12_288 }, (_, i) => (i * 31) & 255);
    expect(toPicture({ width: 64, height: 64, rgb })).toEqual(rgb);
  });

  it('averages areas', () => {
    const board = plain(128, 128, [0, 0, 0]);
    for (let i = 0; i < board.rgb.length; i += 3)
      if ((i / 3 + Math.floor(i / 3 / 128)) % 2) board.rgb.fill(200, i, i + 3);
    expect(new Set(toPicture(board))).toEqual(new Set([100]));
  });

  it('keeps proportions and fills up with white', () => {
    const out = toPicture(plain(200, 100, [255, 0, 0]));
    const row = (y: number) => Array.from(out.slice(y * 192, y * 192 + 3));
    expect([row(0), row(15), row(16), row(47), row(48)]).toEqual([
      [255, 255, 255],
      [255, 255, 255],
      [255, 0, 0],
      [255, 0, 0],
      [255, 255, 255],
    ]);
  });

  it('keeps the mean colour of any picture, whatever its size', () => {
    const side = fc.integer({ min: 1, max: 150 });
    fc.assert(
      fc.property(side, side, fc.nat(255), fc.nat(1000), (width, height, base, seed) => {
        const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => (base + ((i * seed) % 97)) & 255);
        const ink = (values: Uint8Array) => values.reduce((sum, v) => sum + 255 - v, 0);
        const share = (width * height) / Math.max(width, height) ** 2;
        const mean = ink(toPicture({ width, height, rgb })) / 12_288;
        expect(Math.abs(mean - (ink(rgb) / rgb.length) * share)).toBeLessThan(0.51);
      }),
      { numRuns: 60 },
    );
  });
});

describe('writing', () => {
  const rgb = Uint8Array.from({ length: 12_288 }, (_, i) => (i * 7) & 255);
  const png = writePng(rgb, { software: 'Xiaohe 0.1.0', checkpoint: 'ab'.repeat(32) });

  it('is eight times as large and loses nothing', () => {
    expect(decode(png, { checkCrc: true })).toMatchObject({ width: 512, height: 512, channels: 3, depth: 8 });
    expect(toPicture(readPng(png))).toEqual(rgb);
  });

  it('says in its metadata that it was generated, by what', () => {
    expect(decode(png).text).toEqual({
      'AI-generated': 'true',
      Software: 'Xiaohe 0.1.0',
      Source: `checkpoint sha256:${'ab'.repeat(32)}`,
    });
    const at = Buffer.from(png).indexOf('iTXtXML:com.adobe.xmp\0\0\0\0\0<?xpacket');
    expect(at).toBe(8 + 25 + 4); // the first chunk after the header
    expect(Buffer.from(png).toString('utf8', at)).toContain(
      'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"',
    );
  });

  it('refuses another size', () => {
    expect(() => writePng(rgb.slice(3), { software: 'x', checkpoint: '' })).toThrowError(
      withCode('PICTURE_UNREADABLE'),
    );
  });
});
