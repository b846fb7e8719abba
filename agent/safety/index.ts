/**
 * A first, honest filter on what comes in and what goes out. Pure functions over small lists (`words.ts`).
 *
 * What it cannot do: it knows words, not meaning. It misses irony, dialect, slang newer than the lists, codes, pictures and
 * harm spread over several messages; it cannot tell a story from a plan with certainty, and it is no replacement for an
 * adult who reads along. A miss is likelier than a false alarm by choice for unsuitable talk (her training declines it as
 * well), and the other way round for distress, where a needless notice costs little.
 */
import type { SafetyCode } from '../types.ts';
import { fold } from './normalise.ts';
import { hasPrivateData } from './private-data.ts';
import { DISTRESS, UNSPEAKABLE, UNSUITABLE } from './words.ts';

export { hasPrivateData } from './private-data.ts';

/** Things that look like harm and are not: anti-virus software, school words, sayings. Removed before matching. */
const HARMLESS =
  /杀毒(?:软件)?|杀菌|杀虫剂?|自杀式|消杀|抹杀|秒杀|狼人杀|三国杀|剧本杀|笑死|累死|饿死|困死|热死|冷死|急死|气死|烦死|美死|渴死|吓死|想死你了?|打我的?(?:电话|手机)|打死(?:我)?(?:也|都)不|杀价|杀青|炸弹人|炸酱面|炸鸡|枪战游戏|水枪|玩具枪|性别|性格|killer whales?|kill two birds with one stone|killing time|bath bombs?|photo bombs?|bomb disposal/g;

/** Everything this message gives reason to notice, most urgent first. */
export function screenIncoming(text: string): SafetyCode[] {
  const folded = fold(text).replace(HARMLESS, ' ');
  const found: SafetyCode[] = [];
  if (DISTRESS.some((pattern) => pattern.test(folded))) found.push('SAFETY_DISTRESS');
  if (hasPrivateData(text)) found.push('SAFETY_PRIVATE_DATA');
  if (UNSUITABLE.some((pattern) => pattern.test(folded))) found.push('SAFETY_UNSUITABLE');
  return found;
}

/** Whether her reply so far may be shown. Called as it grows, so it must be cheap: linear in the text. */
export function mayBeSaid(text: string): boolean {
  const folded = fold(text).replace(HARMLESS, ' ');
  return !UNSPEAKABLE.some((pattern) => pattern.test(folded));
}
