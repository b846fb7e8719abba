/** Couplets: somebody gives the upper line, she answers with the lower. */
export { couplet, coupletPrompt } from './reply.ts';
export { upperLine } from './request.ts';
export { checkCouplet, coupletSlots, STRICTNESS, type Strictness } from './rules.ts';
