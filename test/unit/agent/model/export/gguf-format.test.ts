/** Any metadata and any tensors written by our GGUF container come back from Hugging Face's parser as they were. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gguf } from '@huggingface/gguf';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  ALIGNMENT,
  layOut,
  TENSOR_TYPES,
  type TensorInfo,
  tensorBytes,
  type Value,
} from '../../../../../agent/model/export/gguf-format.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xiaohe-container-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const text = fc.string({ unit: 'binary' });
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.nat(0xffffffff).map((value): Value => ({ type: 'u32', value })),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value): Value => ({ type: 'i32', value })),
  fc.float({ noNaN: true }).map((value): Value => ({ type: 'f32', value })),
  fc.boolean().map((value): Value => ({ type: 'bool', value })),
  text.map((value): Value => ({ type: 'string', value })),
  fc.array(text).map((values): Value => ({ type: 'array', of: 'string', values })),
  fc
    .array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }))
    .map((values): Value => ({ type: 'array', of: 'i32', values })),
);
const metadata = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[a-z]{1,9}(\.[a-z_]{1,9}){1,3}$/), value), { selector: ([key]) => key })
  // The parser wants to know the architecture.
  .map((pairs) => new Map<string, Value>([...pairs, ['general.architecture', { type: 'string', value: 'qwen3moe' }]]));
const infos: fc.Arbitrary<TensorInfo[]> = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z]{1,9}\.[a-z0-9_.]{1,20}$/),
    type: fc.constantFrom('F32', 'BF16', 'Q8_0'),
    shape: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }).map((shape) => [...shape, 32]),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 8 },
);

it('gives back what was put in', async () => {
  const path = join(folder, 'any.gguf');
  await fc.assert(
    fc.asyncProperty(metadata, infos, async (metadata, infos) => {
      const layout = layOut(metadata, infos);
      const data = layout.tensors.map(({ bytes, padding }, i) => {
        expect((bytes + padding) % ALIGNMENT).toBe(0);
        return Buffer.concat([Buffer.alloc(bytes, i + 1), Buffer.alloc(padding)]);
      });
      const file = Buffer.concat([layout.header, ...data]);
      expect(file.length).toBe(layout.bytes);
      writeFileSync(path, file);
      const parsed = await gguf(path, { allowLocalFile: true });
      const read = parsed.metadata as Record<string, unknown>;
      for (const [key, value] of metadata) {
        const wanted =
          value.type === 'array' ? value.values : value.type === 'f32' ? Math.fround(value.value) : value.value;
        expect(read[key]).toEqual(wanted);
      }
      expect(Number(parsed.tensorDataOffset)).toBe(layout.header.length);
      for (const [i, info] of infos.entries()) {
        const found = parsed.tensorInfos[i]!;
        expect([found.name, found.dtype]).toEqual([info.name, TENSOR_TYPES[info.type].id]);
        expect(found.shape.map(Number).reverse()).toEqual(info.shape);
        const at = layout.header.length + Number(found.offset);
        expect(at % ALIGNMENT).toBe(0);
        const bytes = file.subarray(at, at + tensorBytes(info));
        expect(bytes.every((byte) => byte === i + 1)).toBe(true);
      }
    }),
    { numRuns: 60 },
  );
});

it('refuses rows that are not whole blocks', () => {
  expect(() => layOut(new Map(), [{ name: 'x', type: 'Q8_0', shape: [2, 33] }])).toThrow(RangeError);
});
