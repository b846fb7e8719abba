/** Gathering: nothing lost, nothing reordered, firsts and ends at once, and not a message a token. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReplyEvent } from '../../../../../agent/model/host/messages.ts';
import { GATHER_MS, Outbox } from '../../../../../agent/model/host/outbox.ts';

const token = (id: number, n: number): ReplyEvent => ({
  id,
  event: { type: 'token', token: n, text: String(n), logprob: -1 },
});
const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 1, computeMs: 0 };
const end = (id: number): ReplyEvent => ({ id, event: { type: 'end', reason: 'stop', text: '', usage } });

describe('outbox', () => {
  it('brings everything in order, and holds back only what may wait', () => {
    const steps = fc.array(fc.tuple(fc.nat(12), fc.uniqueArray(fc.nat(3), { minLength: 1 })), { maxLength: 40 });
    fc.assert(
      fc.property(steps, (list) => {
        let clock = 0;
        const sent: ReplyEvent[] = [];
        const outbox = new Outbox(
          (events) => sent.push(...events),
          () => clock,
        );
        const all: ReplyEvent[] = [];
        const spoken = new Set<number>();
        for (const [n, [ms, ids]] of list.entries()) {
          clock += ms;
          const events = ids.map((id) => token(id, n));
          const isFirst = ids.some((id) => !spoken.has(id));
          for (const id of ids) spoken.add(id);
          all.push(...events);
          outbox.push(events);
          expect(sent).toEqual(all.slice(0, sent.length));
          if (isFirst) expect(sent.length).toBe(all.length);
        }
        const ends = [...spoken].map(end);
        outbox.push(ends.length > 0 ? ends : [end(9)]);
        expect(sent.length).toBe(all.length + Math.max(1, ends.length));
      }),
    );
  });

  it('sends fast tokens together', () => {
    let clock = 0;
    let messages = 0;
    const outbox = new Outbox(
      () => messages++,
      () => clock,
    );
    for (let n = 0; n < 10 * GATHER_MS; n++) {
      outbox.push([token(1, n)]);
      clock++;
    }
    expect(messages).toBe(10);
  });
});
