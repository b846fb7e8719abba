/** Nothing typed is ever lost, nothing is asked of the server more often than it allows, and acknowledgements overlap. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outbox, type Pending } from '../../../client/chat/outbox.ts';
import { memoryStore } from '../../../client/chat/store.ts';
import type { Ack, UserError } from '../../../server/protocol.ts';

type Answer = Ack<{ seq: number }>;
const OK: Answer = { ok: true, seq: 1 };
const refusal = (code: string, retryAfterMs?: number): Answer => {
  const error: UserError = { code, message: { zh: code, en: code } };
  return { ok: false, error: retryAfterMs === undefined ? error : { ...error, retryAfterMs } };
};

let ids = 0;

/** A page with a clock that only moves when told, and a server that answers what the test says. */
function page(store = memoryStore(), answer: (pending: Pending) => Promise<Answer> = async () => OK) {
  const sent: Pending[] = [];
  const timers: { at: number; run: () => void }[] = [];
  let clock = 0;
  const outbox = new Outbox({
    store,
    send: (pending) => {
      sent.push(pending);
      return answer(pending);
    },
    changed: () => undefined,
    newId: () => `id-${++ids}`,
    now: () => clock,
    after: (ms, run) => void timers.push({ at: clock + ms, run }),
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const pass = async (ms: number) => {
    clock += ms;
    for (const timer of timers.splice(0)) {
      if (timer.at <= clock) timer.run();
      else timers.push(timer);
    }
    await settle();
  };
  return { outbox, sent, settle, pass, states: () => outbox.pending.map((pending) => pending.state) };
}

describe('Outbox', () => {
  it('keeps what was typed without a connection through a reload, and sends it under the same id', async () => {
    const store = memoryStore();
    const first = page(store);
    const typed = [first.outbox.add('me', '我家的猫叫豆豆'), first.outbox.add('class:x', '第二句', 'couplet')];
    expect(first.sent).toEqual([]);
    const second = page(store);
    expect(second.outbox.pending.map(({ text, skill }) => [text, skill])).toEqual([
      ['我家的猫叫豆豆', undefined],
      ['第二句', 'couplet'],
    ]);
    second.outbox.connected();
    await second.settle();
    expect(second.sent.map((pending) => pending.id)).toEqual(typed.map((pending) => pending.id));
    expect(store.length).toBe(0);
  });

  it('does not wait for one acknowledgement before sending the next', () => {
    const { outbox, sent } = page(memoryStore(), () => new Promise(() => undefined));
    outbox.connected();
    for (let index = 0; index < 10; index += 1) outbox.add('me', `${index}`);
    expect(sent.map((pending) => pending.text)).toEqual([...'0123456789']);
  });

  it('goes on past its window as answers come', async () => {
    const { outbox, sent, settle } = page();
    for (let index = 0; index < 50; index += 1) outbox.add('me', `${index}`);
    outbox.connected();
    await settle();
    expect(sent).toHaveLength(50);
  });

  it('shows a message as sent until the room shows it', async () => {
    const { outbox, settle, states } = page();
    outbox.connected();
    const { id } = outbox.add('me', '你好');
    await settle();
    expect(states()).toEqual(['sent']);
    outbox.arrived(id);
    expect(states()).toEqual([]);
  });

  it('sends again when no answer came, waiting longer each time', async () => {
    let asked = 0;
    const { outbox, pass, settle, states } = page(memoryStore(), async () => {
      asked += 1;
      if (asked < 4) throw new Error('no answer');
      return OK;
    });
    outbox.connected();
    outbox.add('me', '你好');
    await settle();
    expect(asked).toBe(1);
    await pass(499);
    expect(asked).toBe(1);
    await pass(1);
    expect(asked).toBe(2);
    await pass(999);
    expect(asked).toBe(2);
    await pass(1);
    await pass(2_000);
    expect(states()).toEqual(['sent']);
  });

  it('is patient exactly as long as the server asks, for all messages', async () => {
    let busy = true;
    const { outbox, sent, pass, settle, states } = page(memoryStore(), async () =>
      busy ? refusal('RATE_LIMITED', 3_000) : OK,
    );
    outbox.connected();
    outbox.add('me', '一');
    await settle();
    outbox.add('me', '二');
    expect(sent).toHaveLength(1);
    busy = false;
    await pass(2_999);
    expect(sent).toHaveLength(1);
    await pass(1);
    expect(states()).toEqual(['sent', 'sent']);
  });

  it('keeps a refused message with its text and reason, also over a reload, and never sends it by itself', async () => {
    const store = memoryStore();
    const { outbox, settle } = page(store, async () => refusal('MESSAGE_TOO_LONG'));
    outbox.connected();
    const { id } = outbox.add('me', '很长');
    await settle();
    const again = page(store);
    again.outbox.connected();
    await again.settle();
    expect(again.sent).toEqual([]);
    expect(again.outbox.pending).toMatchObject([
      { text: '很长', state: 'refused', error: { code: 'MESSAGE_TOO_LONG' } },
    ]);
    again.outbox.discard(id);
    expect(store.length).toBe(0);
  });

  it('survives storage that is full', async () => {
    const full = {
      ...memoryStore(),
      setItem: () => {
        throw new Error('QuotaExceededError');
      },
    };
    const { outbox, sent } = page(full);
    outbox.connected();
    outbox.add('me', '你好');
    expect(sent).toHaveLength(1);
  });

  it('loses nothing and gives up nothing over any run of cuts, silences, refusals to hurry and reloads', async () => {
    const step = fc.constantFrom('type', 'connect', 'cut', 'silence', 'busy', 'well', 'reload', 'wait');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const store = memoryStore();
        const stored = new Set<string>();
        let mood: 'well' | 'silence' | 'busy' = 'well';
        const typed: string[] = [];
        const answer = async (pending: Pending): Promise<Answer> => {
          if (mood === 'busy') return refusal('BUSY', 100);
          // A lost answer does not mean a lost message: the server may have stored it.
          stored.add(pending.text);
          if (mood === 'silence') throw new Error('no answer');
          return OK;
        };
        let current = page(store, answer);
        for (const what of steps) {
          if (what === 'type') {
            typed.push(`${typed.length}`);
            current.outbox.add('me', `${typed.length - 1}`);
          } else if (what === 'connect') current.outbox.connected();
          else if (what === 'cut') current.outbox.disconnected();
          else if (what === 'reload') current = page(store, answer);
          else if (what === 'wait') await current.pass(20_000);
          else mood = what;
        }
        mood = 'well';
        current.outbox.connected();
        await current.settle();
        await current.pass(20_000);
        expect([...stored].sort()).toEqual(typed.sort());
        expect(store.length).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
