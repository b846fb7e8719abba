/** Regulated quatrains: 五绝 and 七绝. */
export { type Form, poemSlots, SCHEMES } from './form.ts';
export { poem, poemPrompt } from './reply.ts';
export { type PoemRequest, poemRequest, seasonOf } from './request.ts';
