/** Quatrains: the slots are the form, checked against rules written down another way; and what people ask for. */
import { describe, expect, it } from 'vitest';
import { chooseSkill } from '../../../../agent/skills/index.ts';
import { type Form, poemRequest, poemSlots, SCHEMES, seasonOf } from '../../../../agent/skills/poem/index.ts';
import { charsOfRhyme, fits, rhymesOf, toneOf, WIDE_RHYMES } from '../../../../agent/skills/prosody/index.ts';

/** Lines of slots, punctuation cut off. */
function lines(form: Form, scheme: (typeof SCHEMES)[number]) {
  const { slots } = poemSlots(form, scheme, '阳');
  const marks = slots.map((slot) => (slot.allow && /^[，。\n]$/.test(slot.allow) ? slot.allow : '字')).join('');
  const rows = marks.split(/[，。\n]+/).filter((row) => row !== '');
  let at = 0;
  return {
    marks,
    rows: rows.map((row) => {
      while (marks[at] !== '字') at++;
      const own = slots.slice(at, at + row.length);
      at += row.length;
      return own;
    }),
  };
}
/** The tone a slot asks for, judged by the characters it takes. */
function tone(slot: { allow?: string }): '+' | '-' | '.' {
  if (slot.allow === undefined) return '.';
  return [...slot.allow].every((char) => fits(char, 'level')) ? '+' : '-';
}

describe.each([5, 7] as const)('a quatrain of %i', (form) => {
  it.each(SCHEMES.map((scheme) => [scheme.join(''), scheme] as const))('%s keeps form, 粘对 and rhyme', (_, scheme) => {
    const { marks, rows } = lines(form, scheme);
    expect(marks).toBe(['，', '。\n', '，', '。'].map((mark) => '字'.repeat(form) + mark).join(''));
    const tones = rows.map((row) => row.map(tone));
    const opposite = { '+': '-', '-': '+', '.': '.' };
    // 对: within a couplet the second syllable opposes; 粘: between couplets it agrees.
    expect(tones[1]![1]).toBe(opposite[tones[0]![1]!]);
    expect(tones[2]![1]).toBe(tones[1]![1]);
    expect(tones[3]![1]).toBe(opposite[tones[2]![1]!]);
    for (const line of [1, 3]) expect(rows[line]!.at(-1)!.allow).toBe(charsOfRhyme('阳'));
    expect(tones[2]!.at(-1)).toBe('-');
    for (const row of tones) {
      expect(row.slice(-3).join('')).not.toMatch(/^[+.]{3}$/);
      // 孤平: a line that ends …-- + must keep another level tone before.
      if (row.join('').endsWith('--+')) expect(row.slice(0, -1).join('')).toContain('++');
    }
  });
});

describe('rhyme', () => {
  it('gives every poem one rhyme of level tone, never the same word twice', () => {
    for (const rhyme of WIDE_RHYMES) {
      const { slots } = poemSlots(5, SCHEMES[1]!, rhyme);
      const rhymed = slots.flatMap((slot, i) => (slot.allow === charsOfRhyme(rhyme) ? [i] : []));
      expect(rhymed).toHaveLength(3);
      expect(slots[rhymed[2]!]!.differ).toEqual(expect.arrayContaining([rhymed[0], rhymed[1]]));
      for (const char of charsOfRhyme(rhyme)) {
        expect(rhymesOf(char)).toContain(rhyme);
        expect(toneOf(char)).not.toBe('oblique');
      }
    }
  });
});

describe('asking for a poem', () => {
  const spring = new Date(2026, 3, 1);
  it.each([
    ['写一首五言绝句：春天', { form: 5, theme: '春天' }],
    ['写一首七言绝句：月夜', { form: 7, theme: '月夜' }],
    ['写一首关于春天的诗', { form: 5, theme: '春天' }],
    ['帮我写首诗吧', { form: 5, theme: '春' }],
    ['以“秋思”为题写一首七绝', { form: 7, theme: '秋思' }],
    ['作一首描写大海的五绝', { form: 5, theme: '大海' }],
  ])('%s', (text, request) => {
    expect(poemRequest(text, false, seasonOf(spring))).toEqual(request);
  });
  it.each([
    '静夜思这首诗是谁写的',
    '背一首诗',
    '你会写诗吗',
    '我写了一首诗',
    '你好',
    '李白是诗人',
    '写一首儿歌',
    'tell me a poem',
  ])('is plain talk: %s', (text) => {
    expect(poemRequest(text, false, '春')).toBeUndefined();
  });
  it('takes the theme alone when the page asked', () => {
    expect(poemRequest('大海', true, '春')).toEqual({ form: 5, theme: '大海' });
  });

  it('is chosen by the page first and by the words second', () => {
    expect(chooseSkill('写一首五言绝句：春天', undefined, spring)).toMatchObject({
      name: 'poem',
      prompt: '写一首五言绝句：春天',
    });
    expect(chooseSkill('写一首五言绝句：春天', 'chat', spring)).toMatchObject({ name: 'chat' });
    expect(chooseSkill('春回大地', 'couplet', spring)).toMatchObject({ name: 'couplet', prompt: '对下联：春回大地' });
    expect(chooseSkill('你好呀！', 'couplet', spring).name).toBe('couplet');
    expect(chooseSkill('hello', 'couplet', spring).name).toBe('chat');
    expect(chooseSkill('我家的猫叫豆豆', undefined, spring)).toMatchObject({ name: 'chat' });
  });
});
