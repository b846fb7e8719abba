/** Couplets: the constraint and the checker are one set of rules, and real couplets keep them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allowedTokens, planSlots } from '../../../../agent/model/constraint/index.ts';
import { checkCouplet, coupletSlots, STRICTNESS, upperLine } from '../../../../agent/skills/couplet/index.ts';
import { LEVEL_CHARS, OBLIQUE_CHARS } from '../../../../agent/skills/prosody/index.ts';

const HAN = [...new Set(LEVEL_CHARS + OBLIQUE_CHARS)];

/** The engine's own constraint over an alphabet of these characters, filled by chance, as a model without taste would. */
const LETTERS = [...HAN, '，'];
const ALPHABET = {
  characters: new Map(LETTERS.map((char, token) => [char, token])),
  han: HAN.map((_, token) => token),
};
function fill(upper: string, strictness: (typeof STRICTNESS)[number], random: (below: number) => number): string {
  const plan = planSlots(coupletSlots(upper, strictness), ALPHABET);
  const chosen: number[] = [];
  for (let allowed = allowedTokens(plan, chosen); allowed.length > 0; allowed = allowedTokens(plan, chosen))
    chosen.push(allowed[random(allowed.length)]!);
  return chosen.map((token) => LETTERS[token]).join('');
}

const ok = (upper: string, lower: string) =>
  Object.fromEntries(checkCouplet(upper, lower).rules.map((rule) => [rule.id, rule.ok]));
const ALL = { length: true, ending: true, opposed: true, repetition: true, distinct: true };

describe('couplet rules', () => {
  it.each([
    ['海阔凭鱼跃', '天高任鸟飞'],
    ['两个黄鹂鸣翠柳', '一行白鹭上青天'],
    ['绿水本无忧，因风皱面', '青山原不老，为雪白头'],
    ['墙上芦苇，头重脚轻根底浅', '山间竹笋，嘴尖皮厚腹中空'],
    ['天天向上', '步步登高'],
  ])('%s / %s keeps them', (upper, lower) => {
    expect(ok(upper, lower)).toEqual(ALL);
  });

  it('says which rule is broken', () => {
    expect(ok('海阔凭鱼跃', '天高任鸟')).toMatchObject({ length: false });
    expect(ok('海阔凭鱼跃', '天高任鸟落')).toMatchObject({ length: true, ending: false });
    expect(ok('海阔凭鱼跃', '天大任鸟飞')).toMatchObject({ opposed: false });
    expect(ok('天天向上', '日月登高')).toMatchObject({ repetition: false });
    expect(ok('海阔凭鱼跃', '海高任鸟飞')).toMatchObject({ distinct: false });
    expect(ok('海阔，凭鱼跃', '天高任鸟，飞')).toMatchObject({ length: false });
    expect(ok('海阔凭鱼跃', '')).toMatchObject({ length: false, ending: false });
  });

  it('shows a tone for every character', () => {
    const { upper, lower } = checkCouplet('海阔，凭鱼', '天高，任鸟');
    expect(upper).toEqual([
      { char: '海', tone: 'oblique' },
      { char: '阔', tone: 'oblique' },
      { char: '凭', tone: expect.stringMatching(/level|either/) },
      { char: '鱼', tone: 'level' },
    ]);
    expect(lower.map(({ char }) => char).join('')).toBe('天高任鸟');
  });

  it('whatever fills the strictest slots passes the checker; looser ones keep what they promise', () => {
    const upper = fc
      .array(fc.constantFrom(...HAN.slice(0, 400), '，'), { minLength: 2, maxLength: 20 })
      .map((chars) =>
        chars
          .join('')
          .replace(/^，+|，+$/g, '')
          .replace(/，+/g, '，'),
      )
      .filter((line) => [...line].length >= 2);
    fc.assert(
      fc.property(
        upper,
        fc.constantFrom(...STRICTNESS),
        fc.infiniteStream(fc.nat(1_000_000)),
        (line, strictness, stream) => {
          const lower = fill(line, strictness, (below) => stream.next().value! % below);
          expect([...lower]).toHaveLength([...line].length);
          const kept = ok(line, lower);
          const promised = {
            all: ALL,
            'without opposed': { ...ALL, opposed: kept.opposed },
            'without ending': { ...ALL, opposed: kept.opposed, ending: kept.ending },
            'length only': { length: true },
          }[strictness];
          expect(kept, `${line} / ${lower}`).toMatchObject(promised);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('finding the upper line', () => {
  it.each([
    ['对下联：春风得意马蹄疾', '春风得意马蹄疾'],
    ['上联：海阔凭鱼跃，请对下联', '海阔凭鱼跃'],
    ['上联是“春回大地”，下联是什么？', '春回大地'],
    ['我出上联：绿水本无忧，因风皱面。', '绿水本无忧，因风皱面'],
    ['帮我对对子：天天向上', '天天向上'],
    ['请对下联 春回大地', '春回大地'],
    ['a couplet please: 春回大地', '春回大地'],
  ])('%s', (text, line) => {
    expect(upperLine(text, false)).toBe(line);
  });
  it.each([
    '你好',
    '我们来对对子吧',
    '什么是下联',
    '对下联',
    '上联：春',
    `上联：${'春'.repeat(21)}`,
    '上联：spring is here',
    '春风得意马蹄疾',
  ])('finds none in: %s', (text) => {
    expect(upperLine(text, false)).toBeUndefined();
  });
  it('takes the bare line when the page asked for a couplet', () => {
    expect(upperLine('春风得意马蹄疾。', true)).toBe('春风得意马蹄疾');
    expect(upperLine('hello', true)).toBeUndefined();
  });
});
