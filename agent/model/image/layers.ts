/**
 * The few layers a small convolutional autoencoder needs, on plain arrays. Why not a tensor library: a picture costs 0.05–0.1
 * billion multiplications, whatever engine runs the language model, and this needs no backend, start-up or second copy
 * of the weights. Float64 because JavaScript computes in it: narrower arrays would convert at every load.
 *
 * A plane is [height, width, channels], channels innermost. PyTorch's planes have channels first; order of sums apart, the
 * numbers are the same.
 */

export interface Plane {
  height: number;
  width: number;
  channels: number;
  /** [height, width, channels] */
  values: Float64Array;
}

/** Output channels, and output pixels of a row, computed together: eight sums stay in registers. */
const CHANNEL_TILE = 4;
const PIXEL_TILE = 2;

export interface Kernel {
  inputs: number;
  /** A multiple of 4. */
  outputs: number;
  /** Odd; the border is padded with size >> 1 zeros. */
  size: number;
  stride: number;
  /** [outputs / 4, size, size, inputs, 4] */
  weights: Float64Array;
  /** [outputs] */
  bias: Float64Array;
}

/** From PyTorch's order [outputs, inputs, size, size]. */
export function packKernel(shape: Omit<Kernel, 'weights' | 'bias'>, weights: Float64Array, bias: Float64Array): Kernel {
  const { inputs, outputs, size } = shape;
  const packed = new Float64Array(weights.length);
  let at = 0;
  for (let block = 0; block < outputs; block += CHANNEL_TILE)
    for (let tap = 0; tap < size * size; tap++)
      for (let i = 0; i < inputs; i++)
        for (let o = block; o < block + CHANNEL_TILE; o++)
          packed[at++] = weights[(o * inputs + i) * size * size + tap]!;
  return { ...shape, weights: packed, bias };
}

function pad({ height, width, channels, values }: Plane, border: number): Plane {
  if (border === 0) return { height, width, channels, values };
  const wide = width + 2 * border;
  const out = new Float64Array((height + 2 * border) * wide * channels);
  for (let y = 0; y < height; y++)
    out.set(
      values.subarray(y * width * channels, (y + 1) * width * channels),
      ((y + border) * wide + border) * channels,
    );
  return { height: height + 2 * border, width: wide, channels, values: out };
}

/** The output's width must be even. */
export function convolve(input: Plane, { inputs, outputs, size, stride, weights, bias }: Kernel): Plane {
  const padded = pad(input, size >> 1);
  const height = input.height / stride;
  const width = input.width / stride;
  const out = new Float64Array(height * width * outputs);
  const x = padded.values;
  const rowLength = padded.width * inputs;
  const step = stride * inputs;
  // For one row of the kernel, its taps and their channels lie side by side in the input.
  const run = size * inputs;
  for (let block = 0; block < outputs; block += CHANNEL_TILE) {
    const blockWeights = block * size * run;
    for (let oy = 0; oy < height; oy++) {
      for (let ox = 0; ox < width; ox += PIXEL_TILE) {
        let a0 = bias[block]!;
        let a1 = bias[block + 1]!;
        let a2 = bias[block + 2]!;
        let a3 = bias[block + 3]!;
        let b0 = a0;
        let b1 = a1;
        let b2 = a2;
        let b3 = a3;
        for (let ky = 0; ky < size; ky++) {
          let w = blockWeights + ky * run * CHANNEL_TILE;
          let at = (oy * stride + ky) * rowLength + ox * step;
          for (const end = at + run; at < end; at++, w += CHANNEL_TILE) {
            const a = x[at]!;
            const b = x[at + step]!;
            const w0 = weights[w]!;
            const w1 = weights[w + 1]!;
            const w2 = weights[w + 2]!;
            const w3 = weights[w + 3]!;
            a0 += a * w0;
            a1 += a * w1;
            a2 += a * w2;
            a3 += a * w3;
            b0 += b * w0;
            b1 += b * w1;
            b2 += b * w2;
            b3 += b * w3;
          }
        }
        const o = (oy * width + ox) * outputs + block;
        out[o] = a0;
        out[o + 1] = a1;
        out[o + 2] = a2;
        out[o + 3] = a3;
        out[o + outputs] = b0;
        out[o + outputs + 1] = b1;
        out[o + outputs + 2] = b2;
        out[o + outputs + 3] = b3;
      }
    }
  }
  return { height, width, channels: outputs, values: out };
}

export interface Norm {
  groups: number;
  epsilon: number;
  /** [channels] each */
  scale: Float64Array;
  shift: Float64Array;
}

/** Group normalisation: each group of channels, over all pixels, to mean 0 and variance 1; then scaled and shifted. */
export function normalise({ values, channels, ...size }: Plane, { groups, epsilon, scale, shift }: Norm): Plane {
  const out = new Float64Array(values.length);
  const each = channels / groups;
  const count = size.height * size.width * each;
  for (let from = 0; from < channels; from += each) {
    let sum = 0;
    for (let p = from; p < values.length; p += channels) for (let c = 0; c < each; c++) sum += values[p + c]!;
    const mean = sum / count;
    let squares = 0;
    for (let p = from; p < values.length; p += channels)
      for (let c = 0; c < each; c++) squares += (values[p + c]! - mean) ** 2;
    const inverse = 1 / Math.sqrt(squares / count + epsilon);
    for (let p = from; p < values.length; p += channels)
      for (let c = 0; c < each; c++)
        out[p + c] = (values[p + c]! - mean) * inverse * scale[from + c]! + shift[from + c]!;
  }
  return { ...size, channels, values: out };
}

/** x · sigmoid(x). */
export function silu(plane: Plane): Plane {
  return { ...plane, values: plane.values.map((v) => v / (1 + Math.exp(-v))) };
}

export function add(a: Plane, b: Plane): Plane {
  return { ...a, values: a.values.map((v, i) => v + b.values[i]!) };
}

/** [h, w, c·r²] → [h·r, w·r, c]; channel c·r² + i·r + j becomes row i, column j of its square. */
export function shuffle({ height, width, channels, values }: Plane, r: number): Plane {
  const out: Plane = { height: height * r, width: width * r, channels: channels / (r * r), values };
  return { ...out, values: rearrange(out, r, (large, small) => [large, small], values) };
}

/** The inverse of `shuffle`. */
export function unshuffle(plane: Plane, r: number): Plane {
  const { height, width, channels, values } = plane;
  const moved = rearrange(plane, r, (large, small) => [small, large], values);
  return { height: height / r, width: width / r, channels: channels * r * r, values: moved };
}

/** Walks all places of the larger plane; `direct` says which of the two places is written and which read. */
function rearrange(
  { height, width, channels }: Plane,
  r: number,
  direct: (large: number, small: number) => [to: number, from: number],
  values: Float64Array,
): Float64Array {
  const out = new Float64Array(values.length);
  let large = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++, large++) {
        const pixel = Math.floor(y / r) * (width / r) + Math.floor(x / r);
        const [to, from] = direct(large, pixel * channels * r * r + c * r * r + (y % r) * r + (x % r));
        out[to] = values[from]!;
      }
  return out;
}
