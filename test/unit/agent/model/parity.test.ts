/**
 * One checkpoint, one text: every engine gives the logits of transformers' Qwen3MoeForCausalLM (fp32) and the same greedy
 * continuations, 200 tokens of 20 prompts. `tensorflow` joins where it is set up; `webgpu` runs on a software adapter,
 * which is too slow for more than the tiny checkpoint and a few tokens of the shipped one (`parity-webgpu.test.ts`).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../../agent/model/checkpoint.ts';
import { openEngine } from '../../../../agent/model/engines/index.ts';
import type { Engine, EngineName } from '../../../../agent/model/types.ts';
import { compare, describeParity, ENGINES, TINY, TOLERANCE } from './parity.ts';
import { checkpoint, largestDifference, reference, Sequence } from './seedling.ts';

const tiny = await openCheckpoint(TINY);
const expected: { cases: (Parameters<typeof compare>[1][number] & { logits: number[] })[] } = JSON.parse(
  readFileSync(`${TINY}/expected.json`, 'utf8'),
);

/** Of 4,000 tokens, those the cpu engine may say differently after a router near tie (none does with the shipped weights). */
const MAX_REROUTED = 8;

async function withEngine(
  name: EngineName,
  of: typeof checkpoint,
  pages: number,
  use: (engine: Engine) => Promise<void>,
) {
  const engine = await openEngine(name, of, { threads: 2, pages, log: () => {} });
  try {
    await use(engine);
  } finally {
    await engine.close();
  }
}

describe.each(ENGINES)('%s', (name) => {
  it('says what transformers says, 200 tokens of 20 prompts', { timeout: 300_000 }, async () => {
    const cases = [...reference.cases, ...reference.raw];
    expect(cases.length).toBe(20);
    await withEngine(name, checkpoint, 600, async (engine) => {
      const parity = await compare(engine, cases, checkpoint.config.vocabulary, TOLERANCE[name]);
      console.info(describeParity(name, parity));
      expect(parity.wrong).toEqual([]);
      expect(parity.tokens).toBe(20 * 200);
      expect(parity.difference).toBeLessThan(TOLERANCE[name]);
      if (name !== 'cpu') expect(parity.differenceRerouted).toBeLessThan(TOLERANCE[name]);
      expect(parity.rerouted.length).toBeLessThanOrEqual(name === 'cpu' ? MAX_REROUTED : 0);
    });
  });

  it('opens a sharded checkpoint that transformers saved, and computes the same', async () => {
    await withEngine(name, tiny, 64, async (engine) => {
      for (const { ids, logits } of expected.cases) {
        const pages = Int32Array.from({ length: 8 }, (_, i) => (i * 5) % 8);
        expect(largestDifference(await new Sequence(engine, pages).feed(ids), logits)).toBeLessThan(TOLERANCE[name]);
      }
      const parity = await compare(engine, expected.cases, tiny.config.vocabulary, TOLERANCE[name]);
      expect(parity.wrong).toEqual([]);
      expect(parity.difference).toBeLessThan(TOLERANCE[name]);
    });
  });
});
