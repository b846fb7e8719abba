/** Sentences and clauses of a message, with what their end marks say. */

export interface Sentence {
  text: string;
  /** It ends with a question mark. */
  asked: boolean;
}

/** English full stops end a sentence only before a space, so that 3.14 and Mr.X stay whole. */
const SENTENCE = /[^。！？!?；;…~～\n]+?(?:[。！!；;…~～]+|[？?]+|\.(?=\s|$)|$)|[^。！？!?；;…~～\n]+/gu;

export function splitSentences(line: string): Sentence[] {
  return [...line.matchAll(SENTENCE)]
    .map(([whole]) => ({
      text: whole
        .replace(/[。！!；;…~～？?\s]+$/u, '')
        .replace(/\.$/, '')
        .trim(),
      asked: /[？?][\s"”』」]*$/.test(whole),
    }))
    .filter((sentence) => sentence.text.length > 0);
}

/** Clauses at commas that stand outside quotation marks and brackets. */
export function splitClauses(sentence: string): string[] {
  const clauses: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < sentence.length; i++) {
    const char = sentence[i]!;
    if ('“「『《（('.includes(char)) depth++;
    else if ('”」』》）)'.includes(char)) depth = Math.max(0, depth - 1);
    else if ('，,'.includes(char) && depth === 0 && !/\d/.test(sentence[i + 1] ?? '')) {
      clauses.push(sentence.slice(start, i));
      start = i + 1;
    }
  }
  clauses.push(sentence.slice(start));
  return clauses.map((clause) => clause.trim()).filter((clause) => clause.length > 0);
}
