/** Finding the upper line in what a person asked. Pure. */

/** Shorter is a word, longer than any hall's pillars. Han characters. */
export const UPPER_CHARS = { least: 2, most: 20 } as const;

const ASKED =
  /(?:对下联|下联|对对子|对对联|对个对子|对一?[副个]?(?:对子|对联)|接下联|出句|上联)(?:是|为)?\s*[:：，,\s“"「《]*([^”"」》]+)/u;
const ASKED_EN = /\b(?:couplet|upper line)\b[^:：\p{Script=Han}]*[:：]?\s*[“"「]?([\p{Script=Han}，、,]+)/iu;
const FILLER =
  /^(?:请|帮我|给我|你来|你能|能不能|我出|来|是|：|:|一[副个])+|(?:[,，]?(?:请|你来?|帮我|给我|怎么)?(?:对|接)?(?:出|一下|个)?下联(?:是什么|呢|吧|呀)?|[,，]?(?:请|你来?)对(?:一下|吧)?|怎么对)[？?。！!]*$/gu;

/** The upper line, without quotes and end marks; undefined where there is none to answer. */
export function upperLine(text: string, explicit: boolean): string | undefined {
  const trimmed = text.normalize('NFKC').replace(/,/g, '，').trim();
  const asked = (ASKED.exec(trimmed) ?? ASKED_EN.exec(trimmed))?.[1];
  const candidate = asked ?? (explicit ? trimmed : undefined);
  if (candidate === undefined) return undefined;
  const line = candidate
    .replace(FILLER, '')
    .replace(/^[\s“”"「」『』《》:：，、]+|[\s“”"「」『』《》。！？!?;；，、]+$/gu, '')
    .replace(/[、\s]+/gu, '，');
  const han = [...line].filter((char) => /\p{Script=Han}/u.test(char)).length;
  // Anything but Han characters and commas cannot be matched character by character.
  if (!/^[\p{Script=Han}，]+$/u.test(line) || han < UPPER_CHARS.least || han > UPPER_CHARS.most) return undefined;
  return line;
}
