/**
 * `xiaohe chat`: a conversation in the terminal. The model speaks under her persona, as in a room, but remembers only
 * this conversation: what she is taught here is not kept. Ctrl-C stops a reply; once more, or at the prompt, leaves.
 */
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import type { Language, Said } from '../../agent/index.ts';
import type { ChatMessage, Model } from '../../agent/model/index.ts';
import {
  type ModelFlags,
  openFlagged,
  type SamplingFlags,
  samplingOf,
  withModelOptions,
  withSamplingOptions,
} from './options.ts';

interface Flags extends ModelFlags, SamplingFlags {
  age: number;
}

/** Curriculum age of the checkpoint that ships. */
const AGE = 6;
const AGES = Array.from({ length: 7 }, (_, i) => AGE + i);

const HELP = [
  '  /new   重新开始，忘掉这次对话 · start again, forget this conversation',
  '  /help  这些说明 · these lines',
  '  /exit  离开（Ctrl-D 也可以） · leave (Ctrl-D too)',
  '  Ctrl-C 停下回答；再按一次离开 · stop a reply; once more leaves',
  '',
].join('\n');

export function chatCommand(): Command {
  const command = new Command('chat').description('在终端里和她聊天 · talk with her in the terminal').option(
    '--age <years>',
    `how old she is, ${AGES.at(0)}–${AGES.at(-1)}`,
    (text) => {
      const age = Number(text);
      if (!AGES.includes(age))
        command.error(`error: --age must be a whole number from ${AGES.at(0)} to ${AGES.at(-1)}`);
      return age;
    },
    AGE,
  );
  return withSamplingOptions(withModelOptions(command)).action(chat);
}

async function chat(flags: Flags): Promise<void> {
  const model = await openFlagged(flags);
  const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const lines = createInterface({
    input: process.stdin,
    ...(terminal && { output: process.stdout }),
    prompt: '你 you ▸ ',
  });
  let reply: AbortController | undefined;
  const interrupt = () => {
    if (reply && !reply.signal.aborted) reply.abort();
    else lines.close();
  };
  lines.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt);
  let said: Said[] = [];
  try {
    if (terminal) {
      process.stdout.write(`小禾 Xiaohe · AI 生成，可能说错 · AI-generated, may be wrong\n${HELP}`);
      lines.prompt();
    }
    for await (const line of lines) {
      const text = line.trim();
      if (text === '/exit') break;
      if (text === '/new') said = [];
      else if (text === '/help') process.stdout.write(HELP);
      else if (text !== '') {
        reply = new AbortController();
        said = [...said, { role: 'person', text }];
        const answer = await answerTo(model, said, flags, reply.signal);
        reply = undefined;
        said = [...said, { role: 'student', text: answer }];
      }
      if (terminal) lines.prompt();
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
    await model.close();
  }
}

/** Streams her answer to the last thing said, and returns it. */
async function answerTo(model: Model, said: Said[], flags: Flags, signal: AbortSignal): Promise<string> {
  const sampling = samplingOf(flags);
  const request = { messages: await messagesFor(said, flags.age, model.info.checkpoint.context), sampling, signal };
  process.stdout.write('小禾 ▸ ');
  for await (const event of model.generate({ ...request, maxTokens: flags.maxTokens })) {
    if (event.type === 'token') process.stdout.write(event.text);
    else {
      process.stdout.write(event.reason === 'abort' ? ' …（停下了 · stopped）\n' : '\n');
      return event.text;
    }
  }
  return '';
}

/** The prompt a room would make of it, without recalled facts. */
async function messagesFor(said: Said[], age: number, context: number): Promise<ChatMessage[]> {
  // Read only when someone talks: the mind brings LangChain along, and every other command starts without it.
  const { fitWindow, inLanguage, languageOf, systemPrompt } = await import('../../agent/index.ts');
  const current = said.at(-1)!.text;
  const before = said.slice(0, -1);
  let language: Language | undefined;
  for (const { role, text } of said) if (role === 'person') language = languageOf(text, language);
  return fitWindow(systemPrompt(language!, age, []), inLanguage(before, language!), current, context);
}
