/** The banner says what is known and nothing more. */
import { describe, expect, it } from 'vitest';
import { banner } from '../../../server/banner.ts';
import { scriptedInfo } from '../../support/scripted-student.ts';

const about = { url: 'http://localhost:1', age: 6, database: 'db', seconds: 1 };

describe('the banner', () => {
  it('names size, hash and GPU of a model of its own', () => {
    const { checkpoint, engine } = scriptedInfo;
    const model = {
      ...scriptedInfo,
      checkpoint: { ...checkpoint, parameters: 13_200_000, activeParameters: 6_100_000 },
      engine: { ...engine, gpu: true },
    };
    expect(banner({ ...about, model })).toMatch(/script · GPU\n.*13\.2 M \(6\.1 M active\) · 000000000000\n/);
  });

  it('does not guess what a remote server does not say', () => {
    const checkpoint = { ...scriptedInfo.checkpoint, name: 'Qwen', version: 'remote', sha256: '' };
    const engine = { name: 'remote' as const, device: 'vLLM at gpu:8000', gpu: false, threads: 0 };
    const text = banner({ ...about, model: { ...scriptedInfo, checkpoint, engine } });
    expect(text).toMatch(/remote · vLLM at gpu:8000\n.*Qwen remote\n/);
    expect(text).not.toMatch(/GPU\n|0\.0 M/);
  });
});
