/** The tone table: derived and not invented, and right where everybody knows the answer. */
import { describe, expect, it } from 'vitest';
import { derive, MERGED } from '../../../../agent/skills/prosody/derive.ts';
import { charsOfRhyme, rhymesOf, toneOf, WIDE_RHYMES } from '../../../../agent/skills/prosody/index.ts';
import { LEVEL_RHYMES, OBLIQUE } from '../../../../agent/skills/prosody/table.ts';

describe('prosody', () => {
  it('holds the table that the Guangyun gives', async () => {
    expect(Object.keys(MERGED)).toHaveLength(30);
    expect(await derive()).toEqual({ level: LEVEL_RHYMES, oblique: OBLIQUE });
  });

  it('knows tones that modern Mandarin lost', () => {
    for (const char of '白国竹急十出吃石节') expect(toneOf(char), char).toBe('oblique');
    for (const char of '天人山花云年春江红') expect(toneOf(char), char).toBe('level');
    for (const char of '月日水鸟雪绿上') expect(toneOf(char), char).toBe('oblique');
    for (const char of '看中重教') expect(toneOf(char), char).toBe('either');
    for (const char of '虫坏机蚕') expect(toneOf(char), char).not.toBe('unknown');
    for (const char of '，aか😀') expect(toneOf(char), char).toBe('unknown');
  });

  it('rhymes as the old poems do', () => {
    // 白日依山尽 … 流/楼; 床前明月光 … 光/霜/乡; 远上寒山石径斜 … 斜/家/花; 两个黄鹂鸣翠柳 … 天/船
    for (const rhymed of ['流楼', '光霜乡', '斜家花', '天船', '间山还'])
      expect(
        [...rhymed].reduce(
          (common, char) => common.filter((rhyme) => rhymesOf(char).includes(rhyme)),
          [...rhymesOf(rhymed[0]!)],
        ),
        rhymed,
      ).not.toEqual([]);
    expect(rhymesOf('东').filter((rhyme) => rhymesOf('冬').includes(rhyme))).toEqual([]);
    for (const rhyme of WIDE_RHYMES) expect(charsOfRhyme(rhyme).length).toBeGreaterThanOrEqual(90);
    expect(WIDE_RHYMES.length).toBeGreaterThan(10);
  });
});
