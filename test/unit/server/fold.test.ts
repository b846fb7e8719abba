/** Folding a reply's events: in any overlap, from any point, the state is the same. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldReply, type NumberedEvent, openReply, type ReplyEvent } from '../../../server/generations/fold.ts';
import type { FactChip } from '../../../server/protocol.ts';
import { storable } from '../../../server/rooms/index.ts';

const body: fc.Arbitrary<ReplyEvent> = fc.oneof(
  fc.record({
    type: fc.constant('start' as const),
    skill: fc.constantFrom('chat' as const, 'couplet' as const),
    checkpoint: fc.string(),
    engine: fc.string(),
  }),
  fc.record({ type: fc.constant('delta' as const), text: fc.string() }),
  fc.record({ type: fc.constant('recall' as const), facts: fc.constant<FactChip[]>([]) }),
  fc.record({ type: fc.constant('end' as const), status: fc.constantFrom('done' as const, 'withheld' as const) }),
);
const log = fc.array(body).map((events) => events.map((event, index): NumberedEvent => ({ seq: index + 1, event })));

describe('a reply', () => {
  it('comes out the same when a reader sees some events twice', () => {
    fc.assert(
      fc.property(log, fc.nat(), fc.nat(), (events, a, b) => {
        const whole = events.reduce(foldReply, openReply('id', 'chat'));
        const cut = a % (events.length + 1);
        const overlap = b % (cut + 1);
        const first = events.slice(0, cut).reduce(foldReply, openReply('id', 'chat'));
        expect(events.slice(overlap).reduce(foldReply, first)).toEqual(whole);
      }),
    );
  });

  it('drops what was withheld', () => {
    const events: ReplyEvent[] = [
      { type: 'delta', text: 'no' },
      { type: 'end', status: 'withheld' },
    ];
    const state = events.map((event, index) => ({ seq: index + 1, event })).reduce(foldReply, openReply('id', 'chat'));
    expect(state).toMatchObject({ text: '', generation: { status: 'withheld' } });
  });
});

describe('text', () => {
  it('is made storable without touching what is well formed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(storable(text)).toBe(text.replaceAll('\0', ''));
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff })), (units) => {
        const text = storable(String.fromCharCode(...units));
        expect(Buffer.from(text, 'utf8').toString('utf8')).toBe(text);
        expect(text).not.toContain('\0');
      }),
    );
  });
});
