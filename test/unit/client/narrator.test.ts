/** What a screen reader hears: whole sentences, each once, whatever the pieces; nothing old, nothing of one's own. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Narrator } from '../../../client/chat/narrator.ts';
import type { Generation, Message } from '../../../server/protocol.ts';

const YOU = 'p1';

function message(id: string, author: string, text: string, status?: Generation['status']): Message {
  const kind = author === 'xh' ? ('student' as const) : ('person' as const);
  const base: Message = {
    id,
    seq: 1,
    author: { id: author, name: author, kind },
    text,
    sentAt: '2026-11-23T08:00:00.000Z',
  };
  if (!status) return base;
  const generation: Generation = {
    id: `g${id}`,
    status,
    lastSeq: 1,
    skill: 'chat',
    checkpoint: 's',
    engine: 'w',
    recalled: [],
  };
  return { ...base, generation };
}

function listen() {
  const heard: string[] = [];
  const narrator = new Narrator(({ author }, text, first) => void heard.push(first ? `${author.name}: ${text}` : text));
  return { heard, read: (messages: Message[]) => narrator.read(messages, YOU) };
}

describe('Narrator', () => {
  it('says nothing of what was there when the page opened', () => {
    const { heard, read } = listen();
    read([message('a', 'p2', '早。'), message('b', 'xh', '你好。', 'done')]);
    expect(heard).toEqual([]);
  });

  it('says every sentence once and the rest at the end, however the reply arrives', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 20 }), (steps) => {
        const text = '你好！我是小禾。3.14 是圆周率吗？1. Ten. 还没学';
        const { heard, read } = listen();
        read([]);
        let end = 0;
        for (const step of steps) {
          end = Math.min(text.length, end + step);
          read([message('r', 'xh', text.slice(0, end), 'running')]);
        }
        for (const sentence of heard) expect(sentence).toMatch(/[！。？.]$/);
        read([message('r', 'xh', text, 'done')]);
        read([message('r', 'xh', text, 'done')]);
        expect(heard.join('').replaceAll(' ', '')).toBe(`xh:${text}`.replaceAll(' ', ''));
      }),
    );
  });

  it('reads out what others write, never what the reader wrote, and no markdown marks', () => {
    const { heard, read } = listen();
    read([]);
    read([message('a', YOU, '我说的'), message('b', '小明', '**重点**：好')]);
    expect(heard).toEqual(['小明: 重点：好']);
  });

  it('goes on in the middle of a reply that was running when the page opened', () => {
    const { heard, read } = listen();
    read([message('r', 'xh', '第一句。第', 'running')]);
    read([message('r', 'xh', '第一句。第二句。', 'done')]);
    expect(heard).toEqual(['二句。']);
  });
});
