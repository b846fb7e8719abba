/** Whether a message asks for something she may have been taught. */

const ZH_ASKS =
  /[？?]|什么|谁|哪|(?<![十好])几(?!何|乎|百|千|万)|多少|怎么|怎样|为什么|啥|是不是|有没有|对不对|能不能|会不会|知不知道|记不记得|还记得|多(?:大|高|长|远|重)|[吗呢么]\s*[。！!~～]*$|考考你|猜猜/;
const EN_ASKS =
  /\?|^(?:(?:and|so|but|then|ok|okay|hey|hi|xiaohe|now|well)[, ]+)*(?:what|who|whom|whose|where|when|why|how|which|is|are|am|was|were|do|does|did|can|could|will|would|has|have you|tell me|remind me)\b|\bdo you (?:know|remember)\b|\bwhat(?:'s| is| are)\b/i;

export function asks(text: string): boolean {
  return ZH_ASKS.test(text) || EN_ASKS.test(text.trim());
}

/** `你知道…吗`, `can you tell me …`: it addresses her, but asks for something else. */
const COURTESY =
  /你(?:还)?(?:知不知道|知道|记不记得|记得|晓得|认识|听说过)|(?:告诉|教)我|\b(?:do|can|could|would) you (?:still )?(?:know|remember|tell me)\b/gi;
const HER = /你|小禾|\b(?:you|your|yours|xiaohe)\b/i;

/** Whether a question is about herself (who she is, what she likes), which nobody needs to have taught her. */
export function asksAboutHer(text: string): boolean {
  return HER.test(text.replace(COURTESY, ''));
}
