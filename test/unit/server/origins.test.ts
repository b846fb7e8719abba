/** Which pages may connect. */
import { describe, expect, it } from 'vitest';
import { isOriginAllowed } from '../../../server/http/index.ts';

describe('origins', () => {
  it.each([
    [{}, true],
    [{ host: 'localhost:8600', origin: 'http://localhost:8600' }, true],
    [{ host: 'school.example', origin: 'https://school.example' }, true],
    [{ host: 'localhost:8600', origin: 'http://localhost:8601' }, false],
    [{ host: 'localhost:8600', origin: 'https://evil.example' }, false],
    [{ host: 'localhost:8600', origin: 'null' }, false],
    [{ host: 'localhost:8600', origin: 'not a url' }, false],
    [{ host: 'localhost:8600', origin: 'https://friend.example' }, true],
    [{ origin: 'http://localhost:8600' }, false],
  ])('%j → %s', (headers, allowed) => {
    expect(isOriginAllowed(headers, ['https://friend.example'])).toBe(allowed);
  });
});
