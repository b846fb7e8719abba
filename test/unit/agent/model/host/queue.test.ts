/** The waiting line: fair by person, in order within one, bounded for all and for each. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairQueue, MAX_WAITING, MAX_WAITING_EACH } from '../../../../../agent/model/host/queue.ts';

interface Waiting {
  person: string | undefined;
  number: number;
}
const people = fc.array(fc.constantFrom('甲', '乙', '丙', undefined), { maxLength: 40 });

function drain(queue: FairQueue<Waiting>): Waiting[] {
  const order: Waiting[] = [];
  for (let item = queue.next; item; item = queue.next) {
    order.push(item);
    queue.take(item);
  }
  return order;
}

describe('fair queue', () => {
  it('serves everybody once before anybody twice, each in their own order', () => {
    fc.assert(
      fc.property(people, (list) => {
        const queue = new FairQueue<Waiting>();
        for (const [number, person] of list.entries()) queue.push({ person, number });
        expect(queue.size).toBe(list.length);
        const order = drain(queue);
        expect(queue.size).toBe(0);
        expect(order.map(({ number }) => number).sort((a, b) => a - b)).toEqual(list.map((_, i) => i));
        // In round r come exactly those who asked more than r times.
        let at = 0;
        for (let round = 0; at < order.length; round++) {
          const still = new Set(list.filter((person) => list.filter((other) => other === person).length > round));
          expect(new Set(order.slice(at, at + still.size).map(({ person }) => person))).toEqual(still);
          at += still.size;
        }
        for (const person of new Set(list)) {
          const own = order.filter((item) => item.person === person).map(({ number }) => number);
          expect(own).toEqual([...own].sort((a, b) => a - b));
        }
      }),
    );
  });

  it('lets anybody leave without changing the turns of the others', () => {
    fc.assert(
      fc.property(people, fc.nat(), (list, leaver) => {
        const fill = (items: Waiting[]) => {
          const queue = new FairQueue<Waiting>();
          for (const item of items) queue.push(item);
          return queue;
        };
        const items = list.map((person, number) => ({ person, number }));
        const gone = items[leaver % Math.max(1, items.length)];
        const queue = fill(items);
        if (gone) {
          queue.take(gone);
          queue.take(gone);
        }
        expect(queue.size).toBe(Math.max(0, items.length - 1));
        const order = drain(queue).map(({ number }) => number);
        expect(new Set(order)).toEqual(new Set(items.filter((item) => item !== gone).map(({ number }) => number)));
      }),
    );
  });

  it('is full for one before it is full for all', () => {
    const queue = new FairQueue<Waiting>();
    for (let number = 0; number < MAX_WAITING_EACH; number++) queue.push({ person: '甲', number });
    expect(queue.fullFor('甲')).toBe(MAX_WAITING_EACH);
    expect(queue.fullFor('乙')).toBe(0);
    expect(queue.fullFor(undefined)).toBe(0);
    while (queue.size < MAX_WAITING) queue.push({ person: undefined, number: queue.size });
    expect(queue.fullFor('乙')).toBe(MAX_WAITING);
    expect(queue.fullFor(undefined)).toBe(MAX_WAITING);
  });
});
