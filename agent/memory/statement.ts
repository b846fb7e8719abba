/** What extraction finds in a person's words, and the key under which the same thing said twice is one fact. */
import { canonical } from './canonical.ts';

export interface Statement {
  /** Who or what it is about, as said: `我家的猫`. Empty for a note kept as a whole. */
  subject: string;
  /** 叫, 是, 喜欢, … or `is`, `like`, …; `note` for a statement kept as a whole. */
  relation: string;
  object: string;
  /** The statement as it will be recalled. */
  text: string;
  lang: 'zh' | 'en';
  /** Only one object can be true at a time, so another one replaces it: names, ages, `X的Y是`. */
  single: boolean;
  /** The person said that something held so far is wrong. */
  correction: boolean;
}

/** `不对，叫花花`: a correction that leaves the subject to what was said before. */
export interface Amendment {
  /** Absent when only 是 or `is` was said, which stands for any relation. */
  relation?: string;
  object: string;
}

export interface Extraction {
  statements: Statement[];
  amendment?: Amendment;
}

/** Not 我们 and "our": what a class shares is everybody's in its room. */
const FIRST_PERSON = /^(?:我(?!们)|i\b|my\b)/;

/** Said of the speaker, so it is theirs alone: two people's cats are two cats. */
export function isFirstPerson(canonicalText: string): boolean {
  return FIRST_PERSON.test(canonicalText);
}

/** A count in front of what is counted: eight legs replace six legs. */
const COUNT =
  /^(?:[0-9]+|[一二两三四五六七八九十百千万几]+|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|an?)\b)\s*(?:[只条个头匹位名本辆架把颗朵棵间座口双对片块张岁])?\s*/;

/**
 * Where the statement lives. A statement under the same key with another claim replaces the old one: another name, another
 * count, the opposite (不喜欢 after 喜欢). First-person subjects carry the speaker's id.
 */
export function keyOf(
  statement: Pick<Statement, 'subject' | 'relation' | 'object' | 'single'>,
  teacher: string,
): string {
  const subject = canonical(statement.subject);
  const owner = isFirstPerson(subject) ? `@${teacher}` : '';
  const relation = canonical(statement.relation)
    .replace(/^不|\b(?:do |does |is |are |can ?)?not /, '')
    .replace('厌恶', '喜欢');
  if (statement.single) return `${owner}${subject}|${relation}`;
  const object = canonical(statement.object).replace(COUNT, '');
  return `${owner}${subject}|${`${relation}|${object}`.replace(/^喜欢(?:吃\||\|吃)/, '喜欢|')}`;
}

/** Whether two statements under one key say the same. */
export function sameClaim(
  a: Pick<Statement, 'relation' | 'object'>,
  b: Pick<Statement, 'relation' | 'object'>,
): boolean {
  return canonical(a.relation + a.object) === canonical(b.relation + b.object);
}
