/**
 * Text as the safety lists compare it: one width, one case, no spaces or marks between Han characters, digits of every
 * kind as 0–9. Only for matching; what people read is never changed.
 */

const HAN_DIGITS: Record<string, string> = {
  〇: '0',
  零: '0',
  一: '1',
  二: '2',
  三: '3',
  四: '4',
  五: '5',
  六: '6',
  七: '7',
  八: '8',
  九: '9',
  幺: '1',
  两: '2',
};

/** NFKC folds full-width letters and digits; zero-width characters are how filters are usually dodged. */
export function fold(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\p{Cf}\p{Mn}]/gu, '')
    .replace(/[’‘]/g, "'")
    .replace(/(?<=\p{Script=Han})[\s.·*_~\-、,，]+(?=\p{Script=Han})/gu, '')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The same with spelled-out numbers as digits, so that 一三八… is seen as a phone number. */
export function foldDigits(text: string): string {
  return fold(text).replace(/[〇零一二三四五六七八九幺两]/g, (char) => HAN_DIGITS[char] ?? char);
}
