/**
 * What she can do besides talking, and which of it somebody asked for: the page's choice first, then the words. A choice
 * that the words do not fill (the couplet button and no upper line) is plain talk, so that she can ask back.
 */
import type { SkillName } from '../types.ts';
import { talk } from './chat/index.ts';
import { couplet, coupletPrompt, upperLine } from './couplet/index.ts';
import { poem, poemPrompt, poemRequest, seasonOf } from './poem/index.ts';
import type { SkillEvent, SkillRequest } from './types.ts';

export type { ReplyUsage, SkillEvent, SkillRequest } from './types.ts';

export interface ChosenSkill {
  name: SkillName;
  /** What the user message becomes; undefined: it stays as it was said, with memory and history around it. */
  prompt?: string;
  reply(request: SkillRequest): AsyncGenerator<SkillEvent, void, undefined>;
}

export function chooseSkill(text: string, wished: SkillName | undefined, now: Date): ChosenSkill {
  if (wished !== 'chat' && wished !== 'poem') {
    const upper = upperLine(text, wished === 'couplet');
    if (upper) return { name: 'couplet', prompt: coupletPrompt(upper), reply: (request) => couplet(request, upper) };
  }
  if (wished !== 'chat' && wished !== 'couplet') {
    const asked = poemRequest(text, wished === 'poem', seasonOf(now));
    if (asked) return { name: 'poem', prompt: poemPrompt(asked), reply: (request) => poem(request, asked) };
  }
  return { name: 'chat', reply: talk };
}
