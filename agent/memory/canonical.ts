/**
 * One form for many wordings, so that a question meets the statement that answers it: 我家的猫名字叫什么 and 我的猫叫豆豆
 * share 我猫叫. Used for keys and for the full-text terms, on both sides alike. The result is for comparing, never shown.
 */

const NUMBER = '[0-9一二两三四五六七八九十百千万]+';
const MEASURES = '[只条个头匹位名本辆架把颗朵棵间座双对片块张枚支盆种]';

/** Words that ask, address or soften; each leaves a gap, so that no bigram spans it. */
const ZH_GAPS = new RegExp(
  '请问|小禾(?:同学)?|考考你|我问你|问你|(?:请)?你?告诉我|你?(?:还)?(?:知不知道|知道|记不记得|记得|记住)|是不是|有没有|对不对|能不能|会不会|' +
    `什么时候|(?:做|干)(?:些|点)?(?:什么|啥)(?:工作)?的?|什么样的?|什么|啥|为什么|怎么样?|哪里|哪儿|哪一?(?:个|种|位|天|年|月|条|只|座|本|首)|哪|谁|(?:多少|几)(?:${MEASURES}|岁|月|号|点|天)?|多(?:大|高|长|重)`,
  'g',
);

const ZH_FORMS: [RegExp, string][] = [
  [/您/g, '你'],
  [/咱们|俺们/g, '我们'],
  [/[这那](?=[只个条头位本种])[只个条头位本种]/g, ''],
  [/一共|总共|正(?=在学)|(?<=在学)习/g, ''],
  [/(?<!老)家(?:住在?|在)|住在/g, '住在'],
  [/(?:老家|家乡|故乡)(?:就?[在是])?/g, '老家'],
  [/(?:我们?|咱)家(?=的|里|有|[\p{Script=Han}]|$)/gu, '我'],
  [/(?<=[你他她]们?)家(?=的|里|有|[\p{Script=Han}]|$)/gu, ''],
  [/(?<![国大作专画科玩人回搬老])家(?:里)?的/g, '的'],
  // 给猫取名叫豆豆 and 把伞放在门后 say the same as 猫叫豆豆 and 伞放在门后.
  [/给(.{1,8}?)(?:取|起)了?个?什么名字?/g, '$1叫什么'],
  [/给(.{1,8}?)(?:取|起)了?个?名字?叫?/g, '$1叫'],
  [/把(.{1,8}?)放(?:在|到|进)?/g, '$1放在'],
  // 我今年几岁, 我多大了, 我今年八岁 all speak of 我岁.
  [/(?:今年|现在)?(?:已经)?(?:几岁|多大(?:年纪)?|年龄是?(?:多少)?)/g, '岁'],
  [/(?:今年|现在)(?:已经)?(?=[0-9一二两三四五六七八九十]+岁)/g, ''],
  [/什么名字|啥名字?/g, '什么'],
  [/外号|绰号|昵称/g, '小名'],
  [/的?(?<!小)名字(?:就?是|叫做?|为)?|(?<!小)名叫|(?:叫|称)(?:做|作|为)|(?<=叫)叫/g, '叫'],
  [/最?不(?:喜欢|爱(?=[吃看玩喝唱]))|最?讨厌|最不喜欢/g, '厌恶'],
  [/爱好(?:就?是)?|最?喜爱|最?爱(?=[吃看玩喝唱的])|最喜欢/g, '喜欢'],
  [/最爱(?!情)/g, '喜欢'],
  [/(?:最?害|最)怕/g, '怕'],
  [/(?:长大(?:后|了|以后)?|以后|将来)想(?:要)?[当做]|的?(?:梦想|理想)是?(?:当|做)?/g, '想当'],
  [/过生日/g, '生日'],
  [/要去/g, '去'],
  // Counts stand alone, so that 几条腿 meets 八条腿.
  [new RegExp(`(${NUMBER})${MEASURES}(?!月)`, 'g'), '$1 '],
];

const EN_FORMS: [RegExp, string][] = [
  [/[’‘]/g, "'"],
  [/\b(what|who|where|when|how|that|it|he|she|there|here)'s\b/g, '$1 is'],
  [/\bi'm\b/g, 'i am'],
  [/n't\b/g, ' not'],
  [/\bfavou?rites?\b/g, 'favorite'],
  [/\bcolou?rs?\b/g, 'color'],
  [/\b(?:called|named|names?)\b/g, 'name'],
  [/\bmine\b/g, 'my'],
  [/\bhow old\b|\byears? old\b|\bage\b/g, 'age'],
  [/\bhome ?town\b|\b(?:family )?comes? from\b/g, 'hometown'],
];

const PARTICLES = /(?<=\p{Script=Han})[的了吗呢吧啊呀哦嘛啦](?=$|[^\p{Script=Han}]|\p{Script=Han})/gu;
/** What is left over where a question word was cut out. */
const REMNANTS = /(?<=^|\s)(?:[的了吗呢吧啊呀哦嘛啦是人过]|的[呢呀啊])(?=\s|$)/gu;

/** NFKC, lower case, single spaces, no end punctuation. */
export function plain(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^[\s\p{P}]+|[\s\p{P}]+$/gu, '');
}

function zhForms(text: string): string {
  return ZH_FORMS.reduce((result, [pattern, form]) => result.replace(pattern, form), text);
}

/** The comparing form of a statement or a part of one. */
export function canonical(text: string): string {
  const english = EN_FORMS.reduce((result, [pattern, form]) => result.replace(pattern, form), plain(text));
  return zhForms(english)
    .replace(PARTICLES, '')
    .replace(/[《》“”"「」『』'’]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The comparing form of a question: as a statement, with what asks cut out. */
export function canonicalQuestion(text: string): string {
  // Forms that hold a question word (几岁, 什么名字) must be folded before question words are cut.
  const bare = zhForms(plain(text).replace(/^(?:那么?|你说|你觉得|嘿|嗨)[，,]?(?=\p{Script=Han})/u, '')).replace(
    ZH_GAPS,
    ' ',
  );
  return canonical(bare).replace(REMNANTS, ' ').replace(/\s+/g, ' ').trim();
}
