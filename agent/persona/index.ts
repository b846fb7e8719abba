/** Who she is, as prompt text, and how much of a conversation stands in a prompt. */
export { guestPrompt } from './guest.ts';
export { type Language, languageOf, recalledLine, systemPrompt, userPrompt } from './prompt.ts';
export { fitWindow, GUEST_REACH, inLanguage, type Said } from './window.ts';
