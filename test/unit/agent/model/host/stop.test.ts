/** Stop strings, however the text is cut into tokens. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { StopScanner } from '../../../../../agent/model/host/stop.ts';

const letters = (max: number, min = 0) =>
  fc.string({ unit: fc.constantFrom('a', 'b'), minLength: min, maxLength: max });

it('ends before the first stop string and otherwise loses nothing', () => {
  fc.assert(
    fc.property(fc.array(letters(4), { minLength: 1 }), fc.array(letters(3, 1), { maxLength: 3 }), (pieces, stops) => {
      const scanner = new StopScanner(stops);
      let shown = '';
      let stopped = false;
      pieces.forEach((piece, i) => {
        if (stopped) return;
        const result = scanner.push(piece, i === pieces.length - 1);
        shown += result.text;
        stopped = result.stopped;
        expect(stops.some((stop) => shown.includes(stop))).toBe(false);
      });
      const all = pieces.join('');
      const ends = stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
      expect(stopped).toBe(ends.length > 0);
      // Cut as soon as a stop string is complete, so possibly before an earlier-starting, longer one would be.
      if (!stopped) expect(shown).toBe(all);
      else expect(all.startsWith(shown)).toBe(true);
    }),
  );
});

it('holds back only what could still become a stop string', () => {
  const scanner = new StopScanner(['\n\n', '###']);
  expect(scanner.push('一\n', false)).toEqual({ text: '一', stopped: false });
  expect(scanner.push('二#', false)).toEqual({ text: '\n二', stopped: false });
  expect(scanner.push('##三', false)).toEqual({ text: '', stopped: true });
});
