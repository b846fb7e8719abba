/** Who is here: guests, their names and their sessions. */
export { pseudonym } from './pseudonyms.ts';
export { createGuest, findPerson, noteSeen, type Person, SESSION_DAYS } from './sessions.ts';
