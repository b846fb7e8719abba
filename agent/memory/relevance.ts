/**
 * How well a remembered fact answers what was said, 0 (keep it out) to 1. Pure. The floor matters more than the order: a
 * fact that does not belong makes a small model repeat it, while an empty list makes her say that she has not learned it.
 */
import { canonical, canonicalQuestion } from './canonical.ts';
import { asks } from './question.ts';
import { isFirstPerson } from './statement.ts';
import { termsOf, weightOf } from './terms.ts';

export interface Candidate {
  subject: string;
  relation: string;
  object: string;
  text: string;
  teacher: string;
  teacherName: string;
}

export interface Query {
  asked: boolean;
  /** Canonical words with what asks cut out. */
  words: string;
  terms: string[];
  /** `什么颜色` asks for a colour: the kind of thing the answer must be. */
  kind: string | undefined;
  /** It asks for an age, a place, a time, a reason: a name is no answer. */
  notName: boolean;
  /** Somebody's (`Ella's key`) is in it, so "my key" is another one. */
  possessive: boolean;
  speaker: string;
}

/** Share of the question's topic a fact must cover when the question names the fact's subject. */
const FLOOR_SUBJECT = 0.4;
/** For a note, which has no subject to hold on to. */
const FLOOR_NOTE = 0.5;
/** A question that names the object (豆豆是谁) may ask for hardly anything else. Weight of terms the fact lacks. */
const OBJECT_SLACK = 0.7;
/** A statement that merely mentions what she knows about recalls it, behind every answer to a question. */
const MENTION = 0.45;
/** A fact of another kind than asked for (the cat's name when its colour was asked) is hardly an answer. */
const OTHER_KIND = 0.45;

/** Relations that answer one question only; beside them another topic word in the question means another question. */
const NARROW: Record<string, RegExp> = {
  叫: /叫|名|谁/,
  年龄: /岁/,
  住在: /住|在/,
  来自: /来自|从/,
  出生在: /出生|生/,
  放在: /放|在/,
  'is called': /\bname\b/,
  age: /\bage\b/,
  'live in': /\blive/,
};
/** What asks for a name, and the relations that give one. */
const NAME_ASKED = /叫$|叫\s|\bname\b/;
/** Whose answer is a name only: my mother's cat is not my mother. */
const NAMED = /^(?:叫|is called)$/;
const NAMING = /^(?:叫|是|note|is called|is)$/;
const LIKING = /喜欢|爱|怕|讨厌|like|love|enjoy|hate|prefer/;
/** Kinds that a liking for eating or drinking can answer. */
const FOOD_KIND = /果|菜|食|饭|点心|饮料|汤|糖|面|肉|鱼|喝|吃/;
const ZH_KIND = /(?:什么|几[种个条只]?|多少[个条只种]?)([\p{Script=Han}]{1,3})/u;
const KINDLESS = /^(?:名字?|时候|样|人|东西|地方|关系|意思|用|岁|事|口|工作|里|儿|叫|是|来|在|过|上|$)/;
const NOT_NAME = /岁|多大|哪里|哪儿|什么时候|为什么|怎么|多少|\bhow\b|\bwhere\b|\bwhen\b|\bwhy\b/i;
/** People between "my" and the thing: their thing, not mine. */
const KIN = /爸|妈|爷|奶|外公|外婆|姥|哥|姐|弟|妹|叔|舅|姑|姨|同桌|朋友|同学|老师|邻居|班主任|队长|教练|组长|表|堂|们/;

export function readQuery(text: string, speaker: string): Query {
  const question = askingClause(text);
  const words = canonicalQuestion(question);
  const kind = ZH_KIND.exec(question)?.[1]?.replace(/[的吗呢呀啊了吧是]+$/u, '');
  return {
    asked: asks(text),
    words,
    terms: termsOf(words),
    kind: kind !== undefined && !KINDLESS.test(kind) ? kind : undefined,
    notName: NOT_NAME.test(question),
    possessive: /\w['’]s\b/.test(question.replace(/\b(?:what|where|who|when|how|that|it|he|she|there)['’]s\b/gi, '')),
    speaker,
  };
}

/** Of "Quick question: …" or 想一想，… the part that asks; the whole text where no part asks by itself. */
function askingClause(text: string): string {
  const clauses = text.split(/[，,。:：;；!！\n]+/).filter((clause) => clause.trim() !== '');
  const asking = clauses.filter((clause) => asks(clause) && canonicalQuestion(clause) !== '');
  return asking.at(-1) ?? text;
}

/** The terms a fact is indexed under: as said, by its key, and for "I" also under the teacher's name. */
export function factTerms(fact: Omit<Candidate, 'teacher'>): string[] {
  const forms = [
    canonical(fact.text),
    canonical(`${fact.subject}${HAN.test(fact.subject) ? '' : ' '}${fact.relation === 'note' ? '' : fact.relation}`),
  ];
  if (fact.subject && isFirstPerson(canonical(fact.subject)))
    forms.push(canonical(`${fact.teacherName}${withoutI(canonical(fact.text))}`));
  return [...new Set(forms.flatMap(termsOf))];
}

const HAN = /\p{Script=Han}/u;

function withoutI(words: string): string {
  return words.replace(/^(?:我|(?:i|my)\b\s*)/, /^\p{Script=Han}/u.test(words) ? '' : ' ');
}

export function relevance(query: Query, fact: Candidate): number {
  const subject = canonical(fact.subject);
  const first = subject !== '' && isFirstPerson(subject);
  const aboutSubject = first ? namesOwn(query, fact, subject) : namesAll(query.words, fact.subject);
  const object = canonical(fact.object);
  const aboutObject = fact.relation !== 'note' && object.length >= 2 && mentions(query.words, object);
  if (first && !aboutSubject && !aboutObject) return 0;
  if (!query.asked) return mentioned(query, fact, aboutSubject, aboutObject) ? MENTION : 0;

  const terms = new Set(factTerms(fact));
  // 金色 is an answer to 什么颜色: the kind is met by its last character.
  const kindMet = query.kind !== undefined && canonical(fact.text).includes(query.kind.at(-1)!);
  const kindTerms = new Set(kindMet ? termsOf(query.kind!) : []);
  let total = 0;
  let hit = 0;
  for (const term of query.terms) {
    const weight = weightOf(term);
    total += weight;
    if (terms.has(term) || kindTerms.has(term)) hit += weight;
  }
  if (total === 0) return 0;
  const missed = total - hit;
  let cover = hit / total;
  const narrow = NARROW[fact.relation];
  if (narrow && missed >= 1 && !aboutObject && (NAMED.test(fact.relation) || !narrow.test(query.words)))
    cover *= OTHER_KIND;
  if (NAME_ASKED.test(query.words) && !NAMING.test(fact.relation)) cover *= OTHER_KIND;
  if (NAMED.test(fact.relation) && query.notName && !aboutObject) cover *= OTHER_KIND;
  if (/色$/.test(fact.object) && query.kind !== '颜色' && /[吃喝玩看做]/.test(query.words)) cover *= OTHER_KIND;
  const food = /吃|喝/.test(fact.text) && query.kind !== undefined && !FOOD_KIND.test(query.kind);
  if (query.kind !== undefined && !kindMet && (food || !LIKING.test(fact.relation))) cover *= OTHER_KIND;
  if (fact.relation === 'note') return cover >= FLOOR_NOTE ? cover : 0;
  if (aboutSubject && cover >= FLOOR_SUBJECT) return cover;
  if (aboutObject && missed <= OBJECT_SLACK) return cover;
  return 0;
}

/** Whether the question speaks of this "I": the speaker's own thing, or the teacher's by name. Two people's cats are two cats. */
function namesOwn(query: Query, fact: Candidate, subject: string): boolean {
  const { words } = query;
  const thing = withoutI(subject).trim();
  const teacher = canonical(fact.teacherName);
  if (teacher !== '' && words.includes(teacher) && (thing === '' || mentionsLoosely(words, thing))) return true;
  if (fact.teacher !== query.speaker) return false;
  if (!HAN.test(subject)) {
    if (/\byour\b/.test(words)) return false;
    if (thing === '') return /\b(?:i|my|am|me)\b/.test(words);
    if (!mentions(words, thing)) return false;
    // My key, my favorite key; not my aunt's key, not Ella's.
    const head = thing.split(' ').find((word) => !STOP_IN_SUBJECT.test(word)) ?? '';
    const own = new RegExp(`\\b(?:my|our) (?:(?:favorite|own|little|pet|dear|new) )?${escaped(head)}|\\bmy favorite$`);
    return own.test(words) || (!/\b(?:my|our)\b/.test(words) && !query.possessive);
  }
  const parts = fact.subject.split('的').map(canonical);
  const [owner = '', ...rest] = [withoutI(parts[0] ?? ''), ...parts.slice(1)].filter((part) => part !== '');
  if (owner === '') return words.includes('我') && !new RegExp(`我们?(?:${KIN.source})`).test(words);
  // 我的猫, 我那只小小的猫, 猫; not 我弟弟的猫, not 丽丽的猫.
  const found = new RegExp(`(?:^|\\s|我们?)(.{0,4}?)${escaped(owner)}`, 'u').exec(words);
  if (!found || KIN.test(found[1]!) || (found[1] !== '' && !found[0].includes('我'))) return false;
  return rest.every((part) => words.includes(part));
}

/** Whether each part of a subject (中国 + 首都) is named. */
function namesAll(words: string, subject: string): boolean {
  const whole = canonical(subject);
  if ([...whole].length > 1 && mentions(words, whole)) return true;
  const parts = subject
    .split('的')
    .map((part) => canonical(part).replace(/(?<=.{2})家$/u, ''))
    .filter((part) => part !== '');
  return parts.length > 0 && parts.every((part) => mentions(words, part));
}

function mentions(words: string, part: string): boolean {
  if (!HAN.test(part))
    return part
      .split(' ')
      .every(
        (word) =>
          STOP_IN_SUBJECT.test(word) || new RegExp(`(?:^|[^\\p{L}])${escaped(word)}s?(?:$|[^\\p{L}])`, 'u').test(words),
      );
  if ([...part].length > 1) return words.replace(/\s+/g, '').includes(part.replace(/\s+/g, ''));
  // A one-character word is seen only where a word can begin: 牛 in 牛吃草, not in 蜗牛吃草.
  return new RegExp(`(?:^|[\\s我你他她们的]|\\p{P})${escaped(part)}`, 'u').test(words);
}

function mentionsLoosely(words: string, thing: string): boolean {
  return thing.split(' ').every((part) => words.includes(part));
}

const STOP_IN_SUBJECT = /^(?:a|an|the|of|in|for|my|our|i|is|s|favorite|family)$/;

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** In plain talk only a thing with a name or a subject of its own brings a memory up; "I" alone would bring up all. */
function mentioned(query: Query, fact: Candidate, aboutSubject: boolean, aboutObject: boolean): boolean {
  if (!NAMED.test(fact.relation)) return false;
  const thing = withoutI(canonical(fact.subject)).trim();
  return aboutObject || (aboutSubject && thing !== '' && mentions(query.words, thing));
}
