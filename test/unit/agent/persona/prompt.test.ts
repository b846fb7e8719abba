/** The words around a conversation, to the letter: the model was trained on exactly these. */
import { describe, expect, it } from 'vitest';
import {
  fitWindow,
  inLanguage,
  languageOf,
  recalledLine,
  systemPrompt,
  userPrompt,
} from '../../../../agent/persona/index.ts';

const fact = { id: '1', text: '我家的猫叫豆豆', teacher: '小明', saidAt: new Date(0), message: '2' };

describe('prompt', () => {
  it('says who she is in the language of the last message', () => {
    expect(systemPrompt('zh', 6, [])).toBe('小禾 6岁');
    expect(systemPrompt('en', 7, [])).toBe('Xiaohe, age 7');
    expect(languageOf('“cat”是什么意思')).toBe('zh');
    expect(languageOf('What is a cat?')).toBe('en');
    expect(languageOf('5+3=？', 'en')).toBe('en');
    expect(languageOf('5+3=')).toBe('zh');
  });

  it('lists what she remembers, each in its own language', () => {
    const english = { ...fact, text: 'my cat is called Coco.', teacher: 'Tom' };
    expect(systemPrompt('zh', 6, [fact, english])).toBe(
      '小禾 6岁\n记得：\n- 小明说过：我家的猫叫豆豆。\n- Tom told me: my cat is called Coco.',
    );
    expect(systemPrompt('en', 6, [fact])).toBe('Xiaohe, age 6\nI remember:\n- 小明说过：我家的猫叫豆豆。');
    expect(recalledLine({ ...fact, own: true })).toBe('你说过：我家的猫叫豆豆。');
    expect(recalledLine({ ...english, own: true })).toBe('You told me: my cat is called Coco.');
    expect(recalledLine({ text: '蜘蛛有八条腿。', teacher: '王老师' })).toBe('王老师说过：蜘蛛有八条腿。');
  });

  it('names the speaker only where several people talk', () => {
    expect(userPrompt('你好', '小明', false)).toBe('你好');
    expect(userPrompt('你好', '小明', true)).toBe('小明：你好');
    expect(userPrompt('hello', 'Tom', true)).toBe('Tom: hello');
  });
});

describe('language of the conversation', () => {
  const talk = (...lines: string[]) =>
    lines.map((text, i) => ({ role: i % 2 ? ('student' as const) : ('person' as const), text }));

  it('leaves out what was said before the person changed language', () => {
    const said = talk('你好', '你好呀', 'hello', 'Hi!', '5+3?', 'Eight.');
    expect(inLanguage(said, 'en')).toEqual(said.slice(2));
    expect(inLanguage(said, 'zh')).toEqual([]);
    expect(inLanguage(talk('你好', 'Hi!', '再见', '好'), 'zh')).toHaveLength(4);
  });
});

describe('window', () => {
  const said = (count: number, text = '说了一句话') =>
    Array.from({ length: count }, (_, i) => ({
      role: i % 2 ? ('student' as const) : ('person' as const),
      text: `${text}${i}`,
    }));

  it('keeps system, history and message in order', async () => {
    const messages = await fitWindow('小禾 6岁', said(4), '你好', 2048);
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user', 'assistant', 'user']);
    expect(messages.at(-1)!.content).toBe('你好');
  });

  it('merges neighbours of one side and drops empty replies', async () => {
    const messages = await fitWindow(
      '小禾 6岁',
      [
        { role: 'person', text: '小明：一' },
        { role: 'student', text: ' ' },
        { role: 'person', text: '小红：二' },
      ],
      '小明：三',
      2048,
    );
    expect(messages).toEqual([
      { role: 'system', content: '小禾 6岁' },
      { role: 'user', content: '小明：一\n小红：二\n小明：三' },
    ]);
  });

  it('drops the oldest first and always starts with a person', async () => {
    const messages = await fitWindow('小禾 6岁', said(11, '话'.repeat(60)), '你好', 2048);
    expect(messages[0]).toEqual({ role: 'system', content: '小禾 6岁' });
    expect(messages[1]!.role).toBe('user');
    expect(messages.length).toBeLessThan(12);
    expect(messages.at(-1)!.content.endsWith('\n你好')).toBe(true);
    expect(messages.map(({ content }) => [...content].length).reduce((a, b) => a + b)).toBeLessThan(448);
  });

  it('keeps the end of a message longer than the window', async () => {
    const messages = await fitWindow('小禾 6岁', said(4), `${'长'.repeat(4000)}问题在这里？`, 2048);
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user']);
    expect(messages[1]!.content.endsWith('长长问题在这里？')).toBe(true);
    expect([...messages[1]!.content].length).toBeGreaterThan(300);
  });
});
