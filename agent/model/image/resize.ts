/** Any picture to the codec's 64×64, and 64×64 to something large enough to look at. */
import { ModelError } from '../types.ts';
import type { Raster } from './png.ts';

/** Side of the pictures she sees and paints, pixels. */
export const PICTURE_SIZE = 64;
const WHITE = 255;

/** Fits the picture into 64×64 by area averaging, centred on white; its proportions stay. RGB [64, 64, 3]. */
export function toPicture({ width, height, rgb }: Raster): Uint8Array<ArrayBuffer> {
  const longer = Math.max(width, height);
  const across = shares(width, longer);
  const down = shares(height, longer);
  // Rows first: [height, 64, 3].
  const narrow = new Float64Array(height * PICTURE_SIZE * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < PICTURE_SIZE; x++)
      for (const { from, weight } of across[x]!)
        for (let c = 0; c < 3; c++)
          narrow[(y * PICTURE_SIZE + x) * 3 + c]! += weight * (WHITE - rgb[(y * width + from) * 3 + c]!);
  const out = new Uint8Array(PICTURE_SIZE * PICTURE_SIZE * 3);
  const line = PICTURE_SIZE * 3;
  for (let y = 0; y < PICTURE_SIZE; y++)
    for (let i = 0; i < line; i++) {
      let darkness = 0;
      for (const { from, weight } of down[y]!) darkness += weight * narrow[from * line + i]!;
      out[y * line + i] = Math.round(WHITE - darkness);
    }
  return out;
}

/** For each of the 64 places: which of `length` pixels, centred in a sheet of `sheet`, it covers, and its share in each. */
function shares(length: number, sheet: number): { from: number; weight: number }[][] {
  const scale = sheet / PICTURE_SIZE;
  const margin = (sheet - length) / 2;
  return Array.from({ length: PICTURE_SIZE }, (_, place) => {
    const begin = Math.max(place * scale - margin, 0);
    const end = Math.min((place + 1) * scale - margin, length);
    const parts = [];
    for (let from = Math.floor(begin); from < end; from++) {
      const weight = (Math.min(end, from + 1) - Math.max(begin, from)) / scale;
      if (weight > 0) parts.push({ from, weight });
    }
    return parts;
  });
}

/** Each pixel becomes a square of `times` × `times`: crisp, as nothing is made up between pixels. */
export function enlarge(rgb: Uint8Array, times: number): Raster {
  if (rgb.length !== PICTURE_SIZE * PICTURE_SIZE * 3)
    throw new ModelError('PICTURE_UNREADABLE', `a picture has 64×64×3 values, not ${rgb.length}`);
  const side = PICTURE_SIZE * times;
  const out = new Uint8Array(side * side * 3);
  for (let y = 0, at = 0; y < side; y++)
    for (let x = 0; x < side; x++, at += 3) {
      const from = (Math.floor(y / times) * PICTURE_SIZE + Math.floor(x / times)) * 3;
      for (let c = 0; c < 3; c++) out[at + c] = rgb[from + c]!;
    }
  return { width: side, height: side, rgb: out };
}
