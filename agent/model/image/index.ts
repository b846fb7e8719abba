/**
 * Pictures for the model: 64×64 RGB ↔ 64 codes, PNG in and out, any size to hers. Everything here is a pure computation of
 * tens of milliseconds: call it in a worker, never on the server's event loop.
 */
export { openCodec, type PictureCodec } from './codec.ts';
export { type Provenance, writePng } from './label.ts';
export { MAX_PNG_BYTES, MAX_PNG_PIXELS, type Raster, readPng } from './png.ts';
export { PICTURE_SIZE, toPicture } from './resize.ts';
