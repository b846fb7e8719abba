/**
 * WebGPU (Dawn) on a software adapter: the same numbers as transformers, never taken for a GPU.
 */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../../agent/model/checkpoint.ts';
import { openEngine } from '../../../../agent/model/engines/index.ts';
import { isSoftwareAdapter, startWebgpu } from '../../../../agent/model/engines/tfjs/webgpu.ts';
import { useSoftwareGpu } from '../../../support/software-gpu.ts';
import { compare, describeParity, TINY, TOLERANCE } from './parity.ts';
import { checkpoint, reference } from './seedling.ts';

const missing = await useSoftwareGpu();
if (missing) console.warn(`WebGPU is not tested here: ${missing}`);

/** Tokens a prompt, kept few: one tiny product takes milliseconds on a software adapter. */
const TINY_STEPS = 6;
const STEPS = 3;
const options = { threads: 1, pages: 64, log: () => {} };

describe.skipIf(missing)('webgpu', { timeout: 240_000 }, () => {
  it('computes what transformers computed, and admits that it has no GPU', async () => {
    const tiny = await openCheckpoint(TINY);
    const { cases } = JSON.parse(readFileSync(`${TINY}/expected.json`, 'utf8'));
    const { numTensors } = tf.engine().state;
    const engine = await openEngine('webgpu', tiny, options);
    expect(engine.info).toMatchObject({ name: 'webgpu', gpu: false });
    expect(engine.info.device).toMatch(/SwiftShader.*not a GPU/);
    const parity = await compare(engine, cases, tiny.config.vocabulary, TOLERANCE.webgpu, TINY_STEPS);
    expect(parity.tokens).toBe(3 * TINY_STEPS);
    expect(parity.wrong).toEqual([]);
    expect(parity.difference).toBeLessThan(TOLERANCE.webgpu);
    await engine.close();
    await expect(engine.embed(Int32Array.of(1))).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
    expect(tf.engine().state.numTensors).toBe(numTensors);
  });

  it('continues a prompt with the shipped checkpoint', async () => {
    const engine = await openEngine('webgpu', checkpoint, options);
    const cases = [reference.raw[3]!];
    const parity = await compare(engine, cases, checkpoint.config.vocabulary, TOLERANCE.webgpu, STEPS);
    console.info(describeParity('webgpu', parity));
    expect(parity.wrong).toEqual([]);
    expect(parity.tokens).toBe(STEPS);
    expect(parity.difference).toBeLessThan(TOLERANCE.webgpu);
    await engine.close();
  });

  it('says so when the device is lost, and gives no wrong numbers', async () => {
    const engine = await openEngine('webgpu', await openCheckpoint(TINY), options);
    (tf.backend() as unknown as { device: { destroy(): void } }).device.destroy();
    await expect(engine.embed(Int32Array.of(1, 2, 3))).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
    await engine.close();
  });

  it('is not taken by auto, which wants a GPU', async () => {
    await expect(startWebgpu(true)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });
});

describe('software adapters', () => {
  const adapter = { vendor: '', architecture: '', device: '', description: '' };
  it.each([
    { vendor: 'google', architecture: 'swiftshader', description: 'SwiftShader driver 5.0.0' },
    { vendor: 'mesa', description: 'llvmpipe (LLVM 19.1.7, 256 bits)' },
    { vendor: 'microsoft', description: 'Microsoft Basic Render Driver' },
    { vendor: 'microsoft', architecture: 'warp' },
    { vendor: 'nvidia', isFallbackAdapter: true },
  ])('are recognised: %j', (info) => {
    expect(isSoftwareAdapter({ ...adapter, ...info })).toBe(true);
  });
  it.each([
    { vendor: 'nvidia', architecture: 'hopper', description: 'NVIDIA H100 80GB HBM3' },
    { vendor: 'amd', architecture: 'rdna-3', description: 'AMD Radeon RX 7900 (RADV NAVI31)' },
    { vendor: 'apple', architecture: 'metal-3', description: 'Apple M2' },
    { vendor: 'intel', architecture: 'xe', isFallbackAdapter: false },
  ])('are not real ones: %j', (info) => {
    expect(isSoftwareAdapter({ ...adapter, ...info })).toBe(false);
  });
});
