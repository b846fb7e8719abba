/** Both dictionaries say everything, in their own language. */
import { describe, expect, it } from 'vitest';
import { en } from '../../../client/i18n/en.ts';
import { chooseLanguage } from '../../../client/i18n/language.ts';
import { zh } from '../../../client/i18n/zh.ts';

/** Every text by its path; functions are called with something plausible. */
function texts(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'string') return [[path, value]];
  if (typeof value === 'function') return [[path, value(...Array.from({ length: value.length }, () => 2))]];
  return Object.entries(value as object).flatMap(([key, inner]) => texts(inner, path ? `${path}.${key}` : key));
}

describe('dictionaries', () => {
  it('have the same entries, none empty', () => {
    const paths = (entries: [string, string][]) => entries.map(([path]) => path).sort();
    expect(paths(texts(en))).toEqual(paths(texts(zh)));
    for (const [path, text] of [...texts(zh), ...texts(en)]) expect(text.trim(), path).not.toBe('');
  });

  it('are each in their own language', () => {
    // Chinese examples a learner is meant to send stay Chinese; names of tones carry their character.
    const chineseOnPurpose = /^(empty\.(teach|couplet|poem)|chat\.placeholderCouplet|verse\.legend)$/;
    for (const [path, text] of texts(en))
      if (!chineseOnPurpose.test(path)) expect(text, path).not.toMatch(/\p{Script=Han}/u);
    const latinOnPurpose = /^growth\.postgres$/;
    for (const [path, text] of texts(zh)) if (!latinOnPurpose.test(path)) expect(text, path).toMatch(/\p{Script=Han}/u);
  });
});

describe('chooseLanguage', () => {
  it.each([
    ['en', ['zh-CN'], 'en'],
    [null, ['zh-TW', 'en'], 'zh'],
    [null, ['fr-FR', 'zh-CN'], 'zh'],
    [null, ['fr-FR'], 'en'],
    ['xx', ['en-GB'], 'en'],
    [null, [], 'zh'],
  ] as const)('remembered %s, preferred %s → %s', (remembered, preferred, language) => {
    expect(chooseLanguage(remembered, preferred)).toBe(language);
  });
});
