/** Which language to show, decided from what was remembered and what the browser prefers. Pure. */
export type Language = 'zh' | 'en';

/** The `lang` attribute of each: it chooses fonts, hyphenation and the voice of a screen reader. */
export const LANG_TAG: Record<Language, string> = { zh: 'zh-CN', en: 'en' };

export function chooseLanguage(remembered: string | null, preferred: readonly string[]): Language {
  if (remembered === 'zh' || remembered === 'en') return remembered;
  for (const tag of preferred) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  // Readers of any third language are likelier to know English.
  return preferred.length > 0 ? 'en' : 'zh';
}
