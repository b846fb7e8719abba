/**
 * What a remote model may do in her name during one turn: look into the memory of this room, keep a sentence of this
 * message, have a couplet checked. Room, person and message are fixed when the box is made; no argument of a call can
 * change them, whatever the model was talked into.
 */
import { tool } from 'langchain';
import { z } from 'zod';
import { learn, type RecalledFact, recall, taughtIn } from '../memory/index.ts';
import { recalledLine } from '../persona/index.ts';
import { checkCouplet } from '../skills/couplet/index.ts';
import type { Database, Fact, Turn, VerseReport } from '../types.ts';

export type ToolNews = { type: 'recall'; facts: RecalledFact[] } | { type: 'learned'; facts: Fact[] };

export interface Toolbox {
  tools: ReturnType<typeof makeTools>;
  /** What calls did since this was last asked. */
  news(): ToolNews[];
  /** Whether anything was called at all. */
  used(): boolean;
  /** What broke under a call, the database for example; it is the turn's failure, not the model's to explain away. */
  failure(): unknown;
}

/** A question or a sentence, not a page. Characters. */
const MOST_WORDS = 300;

export interface ToolParts {
  db: Database;
  turn: Pick<Turn, 'scope' | 'speaker' | 'message'>;
  clock: () => Date;
  /** False where the message worries the safety filter: nothing of it is kept. */
  mayRemember: boolean;
}

export function createToolbox(parts: ToolParts): Toolbox {
  const news: ToolNews[] = [];
  let failure: unknown;
  let used = false;
  const guarded = async (work: () => Promise<string>): Promise<string> => {
    used = true;
    try {
      return await work();
    } catch (error) {
      failure ??= error;
      // The reason is ours to log; it is nobody's business on another machine.
      return '出错了。Failed.';
    }
  };
  return {
    tools: makeTools(parts, (item) => news.push(item), guarded),
    news: () => news.splice(0),
    used: () => used,
    failure: () => failure,
  };
}

function makeTools(
  { db, turn: { scope, speaker, message }, clock, mayRemember }: ToolParts,
  tell: (news: ToolNews) => void,
  guarded: (work: () => Promise<string>) => Promise<string>,
) {
  const words = z.string().min(1).max(MOST_WORDS);
  const lookUp = tool(
    ({ question }) =>
      guarded(async () => {
        const facts = await recall(db, { scope, speaker: speaker.id, text: question, message: message.id });
        if (facts.length === 0) return '没有人教过。Nobody taught this.';
        tell({ type: 'recall', facts });
        return facts.map(recalledLine).join('\n');
      }),
    {
      name: 'recall',
      description:
        'Look up what people in this room taught you. 查一查这里的人教过你什么。Ask as the person would: 我家的猫叫什么',
      schema: z.object({ question: words.describe('what you want to know, in the language it was asked in') }),
    },
  );
  const keep = tool(
    ({ sentence }) =>
      guarded(async () => {
        const taught = mayRemember ? taughtIn(message.text, sentence) : undefined;
        if (!taught)
          return '没有记：只能原样记下这条消息里的一整句陈述。Not kept: only a whole statement of this message, word for word.';
        const lesson = { scope, teacher: speaker, message: message.id, saidAt: message.sentAt, learnedAt: clock() };
        const facts = await learn(db, lesson, taught);
        if (facts.length === 0)
          return '已经知道了，或者要等别人也这么说。Known already, or it waits for somebody to confirm it.';
        tell({ type: 'learned', facts });
        return facts.map(({ text }) => `记住了 kept: ${text}`).join('\n');
      }),
    {
      name: 'remember',
      description:
        'Keep one sentence of the message you are answering, exactly as the person wrote it. 原样记下对方这条消息里的一句话。',
      schema: z.object({ sentence: words.describe('the whole sentence, word for word') }),
    },
  );
  const check = tool(({ upper, lower }) => guarded(async () => inWords(checkCouplet(upper, lower))), {
    name: 'check_verse',
    description: 'Check a couplet: length, level and oblique tones, repetition. 检查一副对联是否合格律。',
    schema: z.object({ upper: words.describe('上联'), lower: words.describe('下联') }),
  });
  return [lookUp, keep, check];
}

const RULES: Record<VerseReport['rules'][number]['id'], string> = {
  length: '字数相等 equal length',
  ending: '仄起平收 ending tones',
  opposed: '平仄相对 opposed tones',
  repetition: '重字对应 mirrored repetition',
  distinct: '上下联不重字 no shared character',
};

function inWords({ rules, upper, lower }: VerseReport): string {
  const tones = (line: VerseReport['upper']) => line.map(({ char, tone }) => `${char}${TONES[tone]}`).join(' ');
  return [...rules.map(({ id, ok }) => `${ok ? '✓' : '✗'} ${RULES[id]}`), tones(upper), tones(lower)].join('\n');
}
const TONES = { level: '平', oblique: '仄', either: '平/仄', unknown: '?' } as const;
