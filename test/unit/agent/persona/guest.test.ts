/** What a large model is told about her. */
import { describe, expect, it } from 'vitest';
import { fitWindow, GUEST_REACH, guestPrompt } from '../../../../agent/persona/index.ts';

const nothing = { recalled: [], learned: [], tools: false };

describe('the words for a guest', () => {
  it.each(['zh', 'en'] as const)('say who she is, how old, and what she remembers (%s)', (language) => {
    const plain = guestPrompt(language, 7, nothing);
    expect(plain).toContain('7');
    expect(plain).not.toMatch(/recall|记得：|I remember:\n/);
    const full = guestPrompt(language, 6, {
      recalled: [
        { text: '我家的猫叫豆豆。', teacher: '小明', own: true },
        { text: 'The sky is blue', teacher: 'Ann' },
      ],
      learned: [{ text: '我喜欢画画' }],
      tools: true,
    });
    for (const words of [
      '- 你说过：我家的猫叫豆豆。',
      '- Ann told me: The sky is blue.',
      '- 我喜欢画画',
      'recall',
      'remember',
      'check_verse',
    ])
      expect(full).toContain(words);
  });

  it('leave room for a long conversation, and none where the context is small', async () => {
    const system = guestPrompt('zh', 6, nothing);
    const history = Array.from({ length: 60 }, (_, i) => ({
      role: i % 2 ? ('student' as const) : ('person' as const),
      text: `第${i}句`,
    }));
    const long = await fitWindow(system, history, '你好', 32_768, GUEST_REACH);
    expect(long).toHaveLength(2 + 2 * GUEST_REACH.exchanges);
    const short = await fitWindow(system, history, '你好', 800, GUEST_REACH);
    expect(short.length).toBeLessThan(long.length);
    expect(short.at(-1)).toEqual({ role: 'user', content: '你好' });
    expect(short[0]!.content).toBe(system);
  });
});
