/** Every kernel alone, on random shapes and numbers, against the same arithmetic in plain JavaScript. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { dequantise, halfToFloat } from '../../../../../agent/model/checkpoint.ts';
import { compileKernels, instantiate, type Kernels } from '../../../../../agent/model/engines/cpu/kernels.ts';
import { panelsBytes, recordBytes } from '../../../../../agent/model/engines/cpu/layout.ts';
import { packRows } from '../../../../../agent/model/engines/cpu/pack.ts';
import { quantise, toHalf } from '../../../../../agent/model/engines/cpu/quantise.ts';
import { randomFloats, randomness } from './random.ts';

/** Addresses of the test's own memory. */
const WEIGHTS = 65_536;
const RECORDS = 1 << 20;
const OUT = 2 << 20;
const LIST = 3 << 20;
const INTERLEAVED = LIST + 4096;
const GUARD = -12_345;

let memory: WebAssembly.Memory;
let kernels: Kernels &
  Record<'quantise' | 'multiply' | 'normalise' | 'exponential' | 'embed', (...args: number[]) => void>;
const floats = (at: number, length: number) => new Float32Array(memory.buffer, at, length);

beforeAll(async () => {
  memory = new WebAssembly.Memory({ initial: 64, maximum: 65_536, shared: true });
  const settings = { rowList: LIST, interleaved: INTERLEAVED, embedding: WEIGHTS, epsilon: 1e-6 };
  kernels = instantiate(await compileKernels(), memory, settings) as typeof kernels;
});

const shape = fc.record({
  panels: fc.integer({ min: 1, max: 6 }),
  blocks: fc.integer({ min: 1, max: 9 }),
  rows: fc.integer({ min: 1, max: 15 }),
  loudness: fc.constantFrom(1e-6, 0.03, 1, 1e3),
  seed: fc.integer(),
});

describe('multiply', () => {
  it('is the product of the dequantised weights and the activations, and writes nothing else', () => {
    fc.assert(
      fc.property(shape, ({ panels, blocks, rows, loudness, seed }) => {
        const random = randomness(seed);
        const cols = blocks * 32;
        const matrix = quantise(randomFloats(panels * 8 * cols, loudness, random), panels * 8, cols);
        packRows(memory.buffer, matrix, 0, matrix.rows, WEIGHTS);
        const x = randomFloats(rows * cols, loudness, random);
        const list = new Int32Array(memory.buffer, LIST, 16);
        for (let r = 0; r < rows; r++) {
          floats(OUT, cols).set(x.subarray(r * cols, (r + 1) * cols));
          list[r] = RECORDS + r * recordBytes(cols);
          kernels.quantise(OUT, list[r]!, cols);
        }
        const stride = panels * 8;
        const out = floats(OUT, (rows + 2) * stride).fill(GUARD);
        kernels.multiply(WEIGHTS, panels, blocks, rows, OUT, stride * 4);

        const weights = dequantise(matrix);
        let excess = 0;
        for (let r = 0; r < rows; r++)
          for (let n = 0; n < panels * 8; n++) {
            let sum = 0;
            let magnitude = 0;
            for (let i = 0; i < cols; i++) {
              sum += weights[n * cols + i]! * x[r * cols + i]!;
              magnitude += Math.abs(weights[n * cols + i]!) * loudness;
            }
            // Half a step of 2⁻¹⁵ an activation, and fp32 sums.
            excess = Math.max(excess, Math.abs(out[r * stride + n]! - sum) - magnitude * 2e-5);
          }
        expect(excess).toBe(0);
        expect(out.subarray(rows * stride).every((value) => value === GUARD)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('gives a row the same bits alone and among others', () => {
    fc.assert(
      fc.property(shape, ({ panels, blocks, rows, seed }) => {
        const random = randomness(seed);
        const cols = blocks * 32;
        const matrix = quantise(randomFloats(panels * 8 * cols, 1, random), panels * 8, cols);
        packRows(memory.buffer, matrix, 0, matrix.rows, WEIGHTS);
        const list = new Int32Array(memory.buffer, LIST, 16);
        const addresses = Array.from({ length: rows }, (_, r) => RECORDS + r * recordBytes(cols));
        for (const address of addresses) {
          floats(OUT, cols).set(randomFloats(cols, 1, random));
          kernels.quantise(OUT, address, cols);
        }
        const stride = panels * 8;
        list.set(addresses);
        kernels.multiply(WEIGHTS, panels, blocks, rows, OUT, stride * 4);
        const together = floats(OUT, rows * stride).slice();
        const alone = addresses.flatMap((address) => {
          list[0] = address;
          kernels.multiply(WEIGHTS, panels, blocks, 1, OUT, stride * 4);
          return [...floats(OUT, stride)];
        });
        expect([...together]).toEqual(alone);
      }),
      { numRuns: 30 },
    );
  });

  it('takes the largest values without overflow, and blocks of zeros', () => {
    const matrix = quantise(new Float32Array(8 * 64).fill(-3), 8, 64);
    packRows(memory.buffer, matrix, 0, 8, WEIGHTS);
    new Int32Array(memory.buffer, LIST, 1)[0] = RECORDS;
    floats(OUT, 64).fill(1e4, 0, 32).fill(0, 32);
    kernels.quantise(OUT, RECORDS, 64);
    kernels.multiply(WEIGHTS, 1, 2, 1, OUT, 32);
    for (const value of floats(OUT, 8)) expect(value / (-3 * 32 * 1e4)).toBeCloseTo(1, 3);
  });
});

describe('row arithmetic', () => {
  it('eˣ is right to 3e-7', () => {
    const x = Float32Array.from({ length: 4096 }, (_, i) => -80 + (i * 160) / 4095);
    floats(OUT, x.length).set(x);
    kernels.exponential(OUT, x.length);
    const worst = Math.max(...floats(OUT, x.length).map((y, i) => Math.abs(y / Math.exp(x[i]!) - 1)));
    expect(worst).toBeLessThan(3e-7);
  });

  it('RMSNorm and the rounding to int16 are right', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 }), fc.integer(), (blocks, seed) => {
        const n = blocks * 32;
        const random = randomness(seed);
        const x = randomFloats(n, 4, random);
        const weight = randomFloats(n, 2, random);
        floats(RECORDS, n).set(x);
        floats(WEIGHTS, n).set(weight);
        kernels.normalise(RECORDS, WEIGHTS, OUT, n);
        const factor = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / n + 1e-6);
        for (let i = 0; i < n; i++) expect(floats(OUT, n)[i]).toBeCloseTo(x[i]! * factor * weight[i]!, 5);

        kernels.quantise(RECORDS, OUT, n);
        const values = new Int16Array(memory.buffer, OUT, n);
        const scales = floats(OUT + 2 * n, blocks);
        for (let i = 0; i < n; i++) {
          const scale = scales[i >> 5]! * 2 ** -112;
          expect(Math.abs(values[i]! * scale - x[i]!)).toBeLessThanOrEqual(scale * 0.503);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('a gathered embedding row is the dequantised row', () => {
    const random = randomness(5);
    // Scales from fp16's subnormal range upwards.
    const weights = Float32Array.from({ length: 64 * 96 }, (_, i) => random() * 10 ** -((i >> 5) % 7));
    const matrix = quantise(weights, 64, 96);
    packRows(memory.buffer, matrix, 0, 64, WEIGHTS);
    const all = dequantise(matrix);
    instantiateHidden(96);
    for (const token of [0, 7, 8, 41, 63]) {
      kernels.embed(token, OUT);
      expect([...floats(OUT, 96)]).toEqual([...all.subarray(token * 96, (token + 1) * 96)]);
    }
  });
});

function instantiateHidden(hidden: number): void {
  (kernels.hidden as WebAssembly.Global).value = hidden;
}

describe('quantising', () => {
  it('reads back every half', () => {
    const finite = Array.from({ length: 0x7c00 }, (_, bits) => bits);
    expect(finite.map((bits) => toHalf(halfToFloat(bits)))).toEqual(finite);
  });

  it('takes the nearest half, the even one of two', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7bfe }), fc.double({ min: 0, max: 1, noNaN: true }), (bits, between) => {
        const low = halfToFloat(bits);
        const high = halfToFloat(bits + 1);
        const wanted = between < 0.5 ? bits : between > 0.5 ? bits + 1 : bits + (bits & 1);
        expect(toHalf(low + (high - low) * between)).toBe(wanted);
      }),
    );
  });

  it('keeps a matrix within half a step of its block, and the rounding of the scale', () => {
    const weights = randomFloats(8 * 64, 3, randomness(9));
    const back = dequantise(quantise(weights, 8, 64));
    for (const [i, w] of weights.entries()) expect(Math.abs(back[i]! - w)).toBeLessThan((3 / 127) * (0.5 + 127 / 2048));
  });
});

it('a panel takes as many bytes as the matrix has weights, and one fp16 scale a block', () => {
  expect(panelsBytes(64, 96)).toBe(64 * 96 + 64 * 3 * 2);
});
