/** Numbers in other formats: what fits comes back exactly, what does not is the nearest there is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bf16, f32, fitsBf16, Q8_0_BLOCK_BYTES, q8_0 } from '../../../../../agent/model/export/number-formats.ts';

const joined = (pieces: Iterable<Uint8Array>) => Buffer.concat([...pieces]);
const singles = fc.float32Array({ noNaN: true, noDefaultInfinity: true, maxLength: 40 });
/** Away from the largest value, so that nothing rounds to infinity. */
const moderate = fc.float32Array({ noNaN: true, min: -(2 ** 100), max: 2 ** 100, maxLength: 40 });
const fromBf16 = (word: number) => new Float32Array(Uint32Array.of(word << 16).buffer)[0]!;

describe('number formats', () => {
  it('fp32 is exact', () => {
    fc.assert(
      fc.property(singles, (values) => {
        const bytes = joined(f32(values));
        expect(Float32Array.from(values, (_, i) => bytes.readFloatLE(i * 4))).toEqual(values);
      }),
    );
  });

  it('bf16 is the nearest of its neighbours, even on a tie', () => {
    fc.assert(
      fc.property(moderate, (values) => {
        const bytes = joined(bf16(values));
        for (const [i, value] of values.entries()) {
          const word = bytes.readUInt16LE(i * 2);
          const got = fromBf16(word);
          const distance = Math.abs(got - value);
          for (const other of [word - 1, word + 1]) {
            const neighbour = Math.abs(fromBf16(other) - value);
            if (Number.isNaN(neighbour)) continue;
            expect(distance).toBeLessThanOrEqual(neighbour);
            if (distance === neighbour && distance > 0) expect(word % 2).toBe(0);
          }
        }
      }),
    );
  });

  it('knows when bf16 loses nothing', () => {
    fc.assert(
      fc.property(moderate, (values) => {
        const bytes = joined(bf16(values));
        const rounded = Float32Array.from(values, (_, i) => fromBf16(bytes.readUInt16LE(i * 2)));
        expect(fitsBf16(rounded)).toBe(true);
        expect(fitsBf16(values)).toBe(values.every((value, i) => Object.is(value, rounded[i])));
      }),
    );
  });

  it('Q8_0 copies blocks, also across pieces', () => {
    const blocks = 70_000;
    const values = Int8Array.from({ length: blocks * 32 }, (_, i) => (i * 31) % 255);
    const scales = Uint16Array.from({ length: blocks }, (_, i) => (i * 7919) & 0xffff);
    const pieces = [...q8_0({ rows: blocks, cols: 32, values, scales })];
    expect(pieces.length).toBeGreaterThan(1);
    const bytes = joined(pieces);
    expect(bytes.length).toBe(blocks * Q8_0_BLOCK_BYTES);
    for (let block = 0; block < blocks; block += 997) {
      const at = block * Q8_0_BLOCK_BYTES;
      expect(bytes.readUInt16LE(at)).toBe(scales[block]);
      const stored = bytes.subarray(at + 2, at + Q8_0_BLOCK_BYTES);
      expect(Buffer.compare(stored, Buffer.from(values.buffer, block * 32, 32))).toBe(0);
    }
  });
});
