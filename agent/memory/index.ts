/** What she was taught: found in people's words, stored with its teacher, recalled when it is asked for. */
export { extract } from './extract.ts';
export { taughtIn } from './own-words.ts';
export { asks, asksAboutHer } from './question.ts';
export { MOST_RECALLED, type RecalledFact, recall, recordRecall } from './recall.ts';
export type { Extraction, Statement } from './statement.ts';
export { type Lesson, learn } from './store.ts';
