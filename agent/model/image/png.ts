/**
 * A PNG from anyone, checked before it is believed: size limits come from the header, inflated data may not outgrow what the
 * header promises, checksums must hold, and only the chunks that carry the picture reach the decoder (so a colour
 * profile or text cannot be a bomb, and nothing of an upload's metadata is kept). JPEG and WebP are turned into PNG by
 * the browser before they are sent.
 */
import { crc32, inflateSync } from 'node:zlib';
import { convertIndexedToRgb, type DecodedPng, decode } from 'fast-png';
import { ModelError } from '../types.ts';

/** A phone's screen fits; the decoded picture stays below 40 MB. */
export const MAX_PNG_PIXELS = 2_048 * 2_048;
/** An uncompressed RGBA picture of that size. */
export const MAX_PNG_BYTES = 4 * MAX_PNG_PIXELS + 65_536;

/** A picture on white. */
export interface Raster {
  width: number;
  height: number;
  /** [height, width, 3], 0–255 */
  rgb: Uint8Array;
}

/** Far more than the usual 8 KB pieces need; a file of empty chunks would only waste time. */
const MAX_CHUNKS = 20_000;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const HEADER_BYTES = 13;
/** Length and type before a chunk's data, checksum after it. */
const CHUNK_FRAME = 12;
/** Samples a pixel has and the bits a sample may have, by the header's colour type. */
const COLOUR_TYPES: Record<number, { channels: number; depths: number[] }> = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
};
const INDEXED = 3;
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

function unreadable(reason: string, cause?: unknown): never {
  throw new ModelError('PICTURE_UNREADABLE', `PNG: ${reason}`, { cause });
}

/** Throws PICTURE_UNREADABLE and PICTURE_TOO_LARGE, nothing else, whatever the bytes. */
export function readPng(file: Uint8Array): Raster {
  if (file.length > MAX_PNG_BYTES) throw new ModelError('PICTURE_TOO_LARGE', `PNG: ${file.length} bytes`);
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) unreadable('not a PNG');
  const { chunks, header, data } = pictureChunks(bytes);
  checkData(header, data);
  if (header.indexed && !chunks.some((chunk) => chunk.toString('latin1', 4, 8) === 'PLTE'))
    unreadable('has no palette');
  try {
    return onWhite(decode(Buffer.concat([SIGNATURE, ...chunks])));
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
    unreadable('cannot be decoded', cause);
  }
}

interface Header {
  width: number;
  height: number;
  depth: number;
  channels: number;
  indexed: boolean;
  interlaced: boolean;
}

/** Walks the whole file; keeps header, palette, transparency, data and end. */
function pictureChunks(bytes: Buffer): { chunks: Buffer[]; header: Header; data: Buffer } {
  const chunks: Buffer[] = [];
  const data: Buffer[] = [];
  let header: Header | undefined;
  for (let at = SIGNATURE.length, seen = 0; ; seen++) {
    if (seen === MAX_CHUNKS) unreadable(`more than ${MAX_CHUNKS} chunks`);
    if (at + CHUNK_FRAME > bytes.length) unreadable('cut off');
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    const end = at + CHUNK_FRAME + length;
    if (end > bytes.length) unreadable(`cut off in chunk ${type}`);
    const body = bytes.subarray(at + 8, end - 4);
    if ((type === 'IHDR') !== (header === undefined)) unreadable('its header is not first and only');
    if (['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND'].includes(type)) {
      if (crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) unreadable(`bad checksum in ${type}`);
      // Elsewhere a palette is only advice for displays of few colours.
      if (type !== 'PLTE' || header?.indexed) chunks.push(bytes.subarray(at, end));
    } else if (/^[A-Z]/.test(type)) unreadable(`unknown chunk ${type}`);
    if (type === 'IHDR') header = readHeader(body);
    if (type === 'IDAT') data.push(body);
    if (type === 'IEND') return { chunks, header: header!, data: Buffer.concat(data) };
    at = end;
  }
}

function readHeader(body: Buffer): Header {
  if (body.length !== HEADER_BYTES) unreadable('malformed header');
  const [width, height] = [body.readUInt32BE(0), body.readUInt32BE(4)];
  const [depth, colourType, interlace] = [body[8]!, body[9]!, body[12]!];
  const { channels, depths } = COLOUR_TYPES[colourType] ?? unreadable(`colour type ${colourType}`);
  if (width === 0 || height === 0) unreadable('has no pixels');
  if (width * height > MAX_PNG_PIXELS)
    throw new ModelError('PICTURE_TOO_LARGE', `PNG: ${width}×${height}, at most ${MAX_PNG_PIXELS} pixels`);
  if (!depths.includes(depth) || interlace > 1) unreadable(`depth ${depth}, interlace ${interlace}`);
  // The decoder mistakes packed pixels of interlaced pictures; such files are rare and old.
  if (interlace === 1 && depth < 8) unreadable('interlaced with less than 8 bits');
  return { width, height, depth, channels, indexed: colourType === INDEXED, interlaced: interlace === 1 };
}

/** The inflated data must have exactly the length that the header implies. */
function checkData({ width, height, depth, channels, interlaced }: Header, data: Buffer): void {
  const lines = (w: number, h: number) => (w > 0 && h > 0 ? h * (1 + Math.ceil((w * channels * depth) / 8)) : 0);
  const expected = interlaced
    ? ADAM7.reduce((sum, [x, y, dx, dy]) => sum + lines(Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)), 0)
    : lines(width, height);
  let found: number;
  try {
    found = inflateSync(data, { maxOutputLength: expected }).length;
  } catch (cause) {
    unreadable('its data does not inflate to what its header says', cause);
  }
  if (found !== expected) unreadable(`${found} bytes of pixels, its header says ${expected}`);
}

/** Any kind of decoded PNG as RGB, what is transparent showing white. */
function onWhite(png: DecodedPng): Raster {
  const { width, height } = png;
  const { samples, channels, maximum } = png.palette
    ? { samples: convertIndexedToRgb(png), channels: png.palette[0]!.length, maximum: 255 }
    : { samples: unpacked(png), channels: png.channels, maximum: 2 ** png.depth - 1 };
  const key = png.palette ? undefined : png.transparency;
  const grey = channels < 3;
  const rgb = new Uint8Array(width * height * 3);
  for (let p = 0; p < width * height; p++) {
    const at = p * channels;
    let opacity = channels % 2 === 0 ? samples[at + channels - 1]! / maximum : 1;
    if (key?.every((value, c) => samples[at + c] === value)) opacity = 0;
    for (let c = 0; c < 3; c++) {
      const value = samples[at + (grey ? 0 : c)]! / maximum;
      rgb[p * 3 + c] = Math.round((value * opacity + 1 - opacity) * 255);
    }
  }
  return { width, height, rgb };
}

/** Grey pixels of 1, 2 or 4 bits lie several to a byte, each row starting on a new one. */
function unpacked({ data, depth, width, height }: DecodedPng): ArrayLike<number> {
  if (depth >= 8) return data;
  const rowBytes = Math.ceil((width * depth) / 8);
  const out = new Uint8Array(width * height);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const bit = x * depth;
      out[at] = (data[y * rowBytes + (bit >> 3)]! >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
    }
  return out;
}
