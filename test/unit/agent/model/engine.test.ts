/**
 * The TensorFlow.js engine against transformers, and against itself: alone, in a batch, in chunks, over time. What it says
 * over 200 tokens is `parity.test.ts`'s.
 */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine } from '../../../../agent/model/engines/index.ts';
import { openTfjsEngine } from '../../../../agent/model/engines/tfjs/index.ts';
import type { Engine } from '../../../../agent/model/types.ts';
import { checkpoint, largestDifference, reference, Sequence } from './seedling.ts';

const PAGES = 64;
/** fp32 in another order of additions: measured 6e-6 where logits span ± 1; a trained checkpoint's span ± 20. */
const TOLERANCE = 5e-4;

let engine: Engine;
beforeAll(async () => {
  engine = await openTfjsEngine('wasm', checkpoint, { pages: PAGES, gpuOnly: false });
});
afterAll(() => engine.close());

/** Scattered pages: an engine that confuses page order and position fails. */
const pages = (offset: number) => Int32Array.from({ length: 8 }, (_, i) => offset + ((i * 5) % 8));

describe('wasm engine', () => {
  it.each([...reference.cases, ...reference.raw].map((c) => [c.text.slice(-60), c] as const))(
    'agrees with transformers: %j',
    async (_, c) => {
      const sequence = new Sequence(engine, pages(0));
      const logits = await sequence.feed(c.ids);
      const at = (ids: number[]) => ids.map((id) => logits[id]!);
      expect(largestDifference(at(c.top_ids), c.top_logits)).toBeLessThan(TOLERANCE);
      expect(largestDifference(at(reference.fixed_ids), c.fixed_logits)).toBeLessThan(TOLERANCE);
    },
  );

  it('gives a prompt in chunks the logits of the whole', async () => {
    const { ids } = reference.cases[1]!;
    const whole = await new Sequence(engine, pages(0)).feed(ids);
    for (const chunk of [1, 7, 16, 31]) {
      const chunked = await new Sequence(engine, pages(8)).feed(ids, chunk);
      expect(largestDifference(whole, chunked)).toBeLessThan(TOLERANCE);
    }
  });

  it('gives every sequence of a ragged batch what it gets alone', async () => {
    const prompts = reference.cases.slice(0, 4).map((c) => c.ids);
    const alone: Float32Array[] = [];
    for (const ids of prompts) alone.push(await new Sequence(engine, pages(0)).feed(ids));
    // The second sequence has half its prompt done already; the third wants no logits.
    const done = [0, 30, 0, 0];
    await new Sequence(engine, pages(16)).feed(prompts[1]!.slice(0, 30));
    let start = 0;
    const sequences = prompts.map((ids, i) => {
      const count = ids.length - done[i]!;
      const sequence = { start, count, past: done[i]!, pages: pages(8 + 8 * i), logits: i !== 2 };
      start += count;
      return sequence;
    });
    const tokens = Int32Array.from(prompts.flatMap((ids, i) => ids.slice(done[i])));
    const together = await engine.step({ tokens, sequences });
    const { vocabulary } = checkpoint.config;
    expect(together.length).toBe(3 * vocabulary);
    [0, 1, 3].forEach((index, row) => {
      const own = together.subarray(row * vocabulary, (row + 1) * vocabulary);
      expect(largestDifference(own, alone[index]!)).toBeLessThan(TOLERANCE);
    });
  });

  it('keeps no tensor from one step to the next', async () => {
    const sequence = new Sequence(engine, pages(0));
    await sequence.feed(reference.cases[0]!.ids);
    const { numTensors } = tf.memory();
    for (let i = 0; i < 5; i++) await sequence.feed([i + 300]);
    await new Sequence(engine, pages(8)).feed(reference.cases[1]!.ids, 20);
    await engine.embed(Int32Array.of(300, 301));
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it.each([-1, checkpoint.config.vocabulary])('refuses token %i', async (token) => {
    await expect(new Sequence(engine, pages(0)).feed([token])).rejects.toMatchObject({ code: 'TOKEN_OUT_OF_RANGE' });
  });

  it('embeds without touching the pages of running sequences', async () => {
    const { ids } = reference.cases[0]!;
    const undisturbed = await new Sequence(engine, pages(0)).feed(ids);
    const sequence = new Sequence(
      engine,
      Int32Array.from({ length: 8 }, (_, i) => PAGES - 8 + i),
    );
    await sequence.feed(ids.slice(0, -1));
    const long = Int32Array.from({ length: 600 }, (_, i) => 300 + (i % 500));
    const embedding = await engine.embed(long);
    expect(embedding.length).toBe(checkpoint.config.hidden);
    expect(largestDifference(embedding, await engine.embed(long.slice(0, 10)))).toBeGreaterThan(0.01);
    expect(largestDifference(await sequence.feed(ids.slice(-1)), undisturbed)).toBeLessThan(TOLERANCE);
  });
});

describe('choosing an engine', () => {
  const options = (lines: string[]) => ({
    threads: 1,
    pages: 4,
    log: (_: string, message: string) => void lines.push(message),
  });

  it('never replaces an engine asked for by name, and says why it is not there', async () => {
    for (const choice of ['remote', 'webgpu', 'tensorflow'] as const) {
      const lines: string[] = [];
      const opening = openEngine(choice, checkpoint, options(lines));
      // A GPU, or TensorFlow, may be here.
      const engine = choice === 'remote' ? undefined : await opening.catch(() => undefined);
      if (engine) {
        expect(engine.info.name).toBe(choice);
        await engine.close();
      } else await expect(opening).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
      expect(lines.join()).toContain(choice);
    }
  });

  it('takes a GPU or our own engine by itself, and says why it passed the others by', async () => {
    const lines: string[] = [];
    const opened = await openEngine('auto', checkpoint, options(lines));
    expect(opened.info.gpu || opened.info.name === 'cpu').toBe(true);
    if (!opened.info.gpu)
      expect(lines).toEqual([
        expect.stringMatching(/^engine tensorflow not used: ./),
        expect.stringMatching(/^engine webgpu not used: ./),
        expect.any(String),
        expect.stringMatching(/^engine cpu opened: ./),
      ]);
    await opened.close();
  });

  it('opens wasm when asked to, and reports what computes', async () => {
    const lines: string[] = [];
    const opened = await openEngine('wasm', checkpoint, options(lines));
    expect(opened.info).toMatchObject({ name: 'wasm', gpu: false, threads: 1 });
    expect(lines.join()).toContain(opened.info.device);
    await opened.close();
  });
});
