/** Whether a message asks for something she may have been taught. */

const ZH_ASKS =
  /[？?]|什么|谁|哪|(?<![十好])几(?!何|乎|百|千|万)|多少|怎么|怎样|为什么|啥|是不是|有没有|对不对|能不能|会不会|知不知道|记不记得|还记得|多(?:大|高|长|远|重)|[吗呢么]\s*[。！!~～]*$|考考你|猜猜/;
const EN_ASKS =
  /\?|^(?:(?:and|so|but|then|ok|okay|hey|hi|xiaohe|now|well)[, ]+)*(?:what|who|whom|whose|where|when|why|how|which|is|are|am|was|were|do|does|did|can|could|will|would|has|have you|tell me|remind me)\b|\bdo you (?:know|remember)\b|\bwhat(?:'s| is| are)\b/i;

export function asks(text: string): boolean {
  return ZH_ASKS.test(text) || EN_ASKS.test(text.trim());
}
