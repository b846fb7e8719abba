/** Finding form and theme in what a person asked. Pure. */
import type { Form } from './form.ts';

export interface PoemRequest {
  form: Form;
  theme: string;
}

const ASKED =
  /(?:写|作|做|来|吟|创作|想要|赋)(?:我|你)?(?:一|两|几)?(?:首|个|点)?.{0,16}?(?:诗|绝句|五绝|七绝)|^(?:五绝|七绝|[五七]言绝句)/;
const NOT_WRITING = /(?:诗人|谁写|写了|写的|是谁|背(?:一|首|诵)|抄|默写|什么意思|哪首|教|吗|读一?首|念一?首)/;
const ASKED_EN = /\b(?:write|compose|make) (?:me |us )?an? (?:\w+ )*(?:jueju|quatrain|classical chinese poem)\b/i;
const FORM_7 = /七言|七绝|seven/i;
/** A theme longer than this is a story; the model learned from titles. Characters. */
const THEME_CHARS = 12;

/** A poem wanted in words. Modern verse and rhymes in English are plain talk: she makes those up freely. */
export function poemRequest(text: string, explicit: boolean, season: string): PoemRequest | undefined {
  const trimmed = text.normalize('NFKC').trim();
  const wanted =
    (ASKED.test(trimmed) && !NOT_WRITING.test(trimmed) && !/儿歌|现代诗|小诗|打油诗|英语诗|英文诗/.test(trimmed)) ||
    ASKED_EN.test(trimmed);
  if (!explicit && !wanted) return undefined;
  return { form: FORM_7.test(trimmed) ? 7 : 5, theme: themeOf(trimmed) || season };
}

function themeOf(text: string): string {
  const named =
    /(?:题目是|题为|题是|主题是?|关于|有关|写给|描写|赞美|歌颂|绝句[:：]|诗[:：]|[:：])\s*[“"「《]?([^”"」》，。！？!?,]+)/.exec(
      text,
    )?.[1] ??
    /(?:以|用|拿)[“"「《]?([^”"」》，。！？!?,]+?)[”"」》]?(?:为题|作题|写|做|作)/.exec(text)?.[1] ??
    /(?:写|作|做|来|吟)(?:一|两|几)?(?:首|个)(.{1,10}?)(?:的)?(?:五言|七言|五绝|七绝|绝句|古诗|诗)/.exec(text)?.[1] ??
    (/写|作|诗|绝句|poem|quatrain/i.test(text) ? '' : text);
  const bare = named
    .replace(/(?:的)?(?:[五七]言)?(?:绝句|古诗|诗歌?|五绝|七绝)$|的$|^[五七]言$/g, '')
    .replace(/[\s\p{P}]/gu, '');
  return [...bare].slice(0, THEME_CHARS).join('');
}

/** The theme of a poem nobody gave one: the season it is (northern hemisphere, by months). */
export function seasonOf(date: Date): string {
  return ['冬', '冬', '春', '春', '春', '夏', '夏', '夏', '秋', '秋', '秋', '冬'][date.getMonth()]!;
}
