/**
 * Private data in a message: telephone, identity and bank numbers, e-mail, accounts, passwords, street addresses. What is
 * found here is never remembered. It cannot know that an ordinary name or school is private to somebody; nor does it find
 * numbers told one digit a message.
 */
import { fold, foldDigits } from './normalise.ts';

/** A number cannot continue a longer run of digits, or every long number would hold a telephone. */
const EDGE_L = '(?<![0-9])';
const EDGE_R = '(?![0-9])';

const NUMBERS: RegExp[] = [
  // Chinese mobile: 11 digits from 13 to 19, with or without country code and gaps.
  new RegExp(`${EDGE_L}(?:\\+?86[- ]?)?1[3-9][0-9][- ]?[0-9]{4}[- ]?[0-9]{4}${EDGE_R}`),
  // Chinese land line with area code; North American and international forms.
  new RegExp(`${EDGE_L}0[0-9]{2,3}[- ][0-9]{7,8}${EDGE_R}`),
  new RegExp(`${EDGE_L}(?:\\+?1[- .]?)?\\(?[0-9]{3}\\)?[- .][0-9]{3}[- .][0-9]{4}${EDGE_R}`),
  new RegExp(`\\+[0-9]{1,3}(?:[- ]?[0-9]{2,4}){3,4}${EDGE_R}`),
  // Resident identity card: 17 digits and a check character; bank cards: 16 to 19 digits, often in fours.
  new RegExp(`${EDGE_L}[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9x]${EDGE_R}`),
  new RegExp(`${EDGE_L}[0-9]{4}(?:[- ]?[0-9]{4}){3}(?:[- ]?[0-9]{1,3})?${EDGE_R}`),
  // US social security number.
  new RegExp(`${EDGE_L}[0-9]{3}-[0-9]{2}-[0-9]{4}${EDGE_R}`),
];

const WORDS: RegExp[] = [
  /[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}/,
  // "密码是 …", "my password is …": something must follow, so that talking about passwords stays possible.
  /(?:密码|口令|验证码|支付码)(?:就?是|为|[:：])\s*[^\s什啥多哪?？]/,
  /\b(?:password|passcode|pin(?: code)?)\s*(?:is|=|:)\s*(?!what|not\b|a\b|important|secret)\S/,
  /(?:qq号?|微信号?|wechat(?: id)?|身份证号?码?|银行卡号?|电话号?码?|手机号?码?)(?:就?是|为|[:：])?\s*[a-z_]?[a-z0-9_-]{5,}/,
  // A street address: a place to a house number.
  /(?:路|街|巷|弄|胡同|大道|村|镇)[^，。,.!?！？]{0,6}[0-9]+(?:号|弄|栋|幢|座|单元|室|楼)/,
  /(?:小区|花园|公寓|家园|新村|大厦|公馆|苑)[^，。,.!?！？]{0,8}[0-9]+(?:号|栋|幢|座|单元|室|楼|门)/,
  /[0-9]+(?:栋|幢|座|号楼)[^，。,.!?！？]{0,6}[0-9]+(?:单元|室|号|门)/,
  /\b[0-9]{1,5}[a-z]? (?:[a-z']+ ){1,3}(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|close|crescent)\b/,
  /\b(?:flat|apartment|apt|unit) [0-9]+[a-z]?\b/,
];

/** True when the text holds something that must not be remembered. */
export function hasPrivateData(text: string): boolean {
  const folded = fold(text);
  const digits = foldDigits(text);
  return (
    NUMBERS.some((pattern) => pattern.test(folded) || pattern.test(digits)) ||
    WORDS.some((pattern) => pattern.test(folded) || pattern.test(digits))
  );
}
