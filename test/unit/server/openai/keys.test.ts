/** Bearer keys and rates: exactly the known keys open, each with its own name and its own count. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKeys, createRateLimit } from '../../../../server/http/openai/keys.ts';

const FIRST = 'first-key-0123456789';
const SECOND = 'second-key-0123456789';

describe('keys', () => {
  const keys = createKeys([FIRST, SECOND]);

  it('tell callers apart without holding their keys', () => {
    const first = keys.personOf(`Bearer ${FIRST}`);
    expect(first).toMatch(/^api:[0-9a-f]{12}$/);
    expect(keys.personOf(`bearer  ${FIRST} `)).toBe(first);
    expect(keys.personOf(`Bearer ${SECOND}`)).not.toBe(first);
  });

  it('open to nothing else', () => {
    const authorization = fc.oneof(
      fc.constant(undefined),
      fc.string(),
      fc.string().map((text) => `Bearer ${text}`),
      fc.nat(FIRST.length - 1).map((length) => `Bearer ${FIRST.slice(0, length)}`),
      fc.constantFrom(FIRST, `Basic ${FIRST}`, `Bearer ${FIRST},${SECOND}`, `Bearer ${FIRST}x`),
    );
    fc.assert(
      fc.property(authorization, (header) => {
        expect(() => keys.personOf(header)).toThrow(expect.objectContaining({ code: 'API_KEY_WRONG' }));
      }),
    );
    expect(() => createKeys([]).personOf('Bearer ')).toThrow(expect.objectContaining({ code: 'API_KEYS_UNSET' }));
  });
});

describe('rates', () => {
  it('count each caller alone and say what is left', async () => {
    const rate = createRateLimit(2);
    const left = async (person: string) => {
      const { headers, refusal } = await rate.take(person);
      return [headers['x-ratelimit-remaining-requests'], refusal?.code];
    };
    expect(await left('a')).toEqual(['1', undefined]);
    expect(await left('a')).toEqual(['0', undefined]);
    expect(await left('a')).toEqual(['0', 'RATE_LIMITED']);
    expect(await left('b')).toEqual(['1', undefined]);
  });
});
