/**
 * The words around a conversation: the system line, the recalled facts, the speaker's name. The model was trained on
 * exactly these lines, so a changed character here is a worse reply; the tests hold them to the letter. Nothing here
 * tells her who she is or what to say: that she learned.
 */

/** A fact as the prompt shows it. */
export interface Recollection {
  text: string;
  teacher: string;
  /** The one who asks taught it: she then says 你说过, which is what she copies from most surely. */
  own?: boolean;
}

/** `zh` also stands for mixed text: she was trained to answer mixed text under the Chinese line. */
export type Language = 'zh' | 'en';

const HAN = /\p{Script=Han}/u;
const LETTERS = /\p{L}/u;

/** The language of a text; a text without words (`5+3=`, `？`) goes by what was spoken before. */
export function languageOf(text: string, before: Language = 'zh'): Language {
  if (HAN.test(text)) return 'zh';
  return LETTERS.test(text) ? 'en' : before;
}

/** The system message: who she is and how old, and what she recalled for this question, best first. */
export function systemPrompt(language: Language, age: number, recalled: readonly Recollection[]): string {
  const lines = [language === 'zh' ? `小禾 ${age}岁` : `Xiaohe, age ${age}`];
  if (recalled.length > 0) {
    lines.push(language === 'zh' ? '记得：' : 'I remember:');
    for (const fact of recalled) lines.push(`- ${recalledLine(fact)}`);
  }
  return lines.join('\n');
}

/** One recalled fact: who said it and what, in the language it was said in. */
export function recalledLine(fact: Recollection): string {
  const text = fact.text.trim().replace(/[。．.!！]+$/u, '');
  if (languageOf(text) === 'zh') return `${fact.own ? '你' : fact.teacher}说过：${text}。`;
  return `${fact.own ? 'You' : fact.teacher} told me: ${text}.`;
}

/** What a person said, with the name in front where several people talk. */
export function userPrompt(text: string, speaker: string, shared: boolean): string {
  if (!shared) return text;
  return languageOf(text) === 'zh' ? `${speaker}：${text}` : `${speaker}: ${text}`;
}
