/** What a remote model may have kept: whole statements of the message, and nothing else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { taughtIn } from '../../../../agent/memory/index.ts';

const kept = (message: string, quote: string) => taughtIn(message, quote)?.statements.map(({ text }) => text);

describe('a sentence that a remote model wants kept', () => {
  it('is kept as it was said, whatever marks the model put around it', () => {
    expect(kept('外婆做的桂花糕最香了！真的。', '“外婆做的桂花糕最香了”')).toEqual(['外婆做的桂花糕最香了']);
    expect(kept('Our bus was late. Grandpa fixes OLD radios at night.', 'grandpa fixes old radios at night')).toEqual([
      'Grandpa fixes OLD radios at night',
    ]);
  });

  it('becomes the same fact as if the patterns had found it', () => {
    expect(taughtIn('我家的猫叫豆豆。', '我家的猫叫豆豆')?.statements[0]).toMatchObject({
      relation: '叫',
      object: '豆豆',
    });
  });

  it.each([
    ['not said at all', '你好呀', '老师说明天放假'],
    ['a part that means the opposite', '我不喜欢下雨天出门。', '喜欢下雨天出门'],
    ['two sentences glued together', '小明来了。小红走了。', '小明来了小红走了'],
    ['a question', '你知道外婆做的糕香不香吗？', '你知道外婆做的糕香不香吗'],
    ['a supposition', '如果我有翅膀就好了。', '如果我有翅膀就好了'],
    ['a wish in English', 'I wish dragons were real and kind.', 'I wish dragons were real and kind'],
    ['in a message with private data', '桂花糕真是太香了。我的电话是13812345678', '桂花糕真是太香了'],
    ['nothing but marks', '。。。', '！'],
    ['too short to say anything', '好。', '好'],
  ])('is refused: %s', (_, message, quote) => {
    expect(taughtIn(message, quote)).toBeUndefined();
  });

  it('never holds a word that the message does not', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), fc.string({ maxLength: 30 }), (message, quote) => {
        for (const text of kept(message, quote) ?? []) expect(message.normalize('NFC')).toContain(text);
      }),
    );
  });
});
