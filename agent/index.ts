/** The student's mind, for the server: one turn in, events out. Knows nothing of sockets. */
export { fitWindow, inLanguage, type Language, languageOf, type Said, systemPrompt } from './persona/index.ts';
export { createStudent, type StudentParts } from './student.ts';
export type * from './types.ts';
