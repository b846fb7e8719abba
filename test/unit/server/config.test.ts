/** Settings: sane defaults, and a wrong one is named without repeating its value. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../server/config.ts';

describe('configuration', () => {
  it('needs nothing', () => {
    expect(parseConfig({})).toMatchObject({ port: 8_600, host: '127.0.0.1', engine: 'auto', origins: [] });
    expect(parseConfig({ DATABASE_URL: '', PORT: ' ' })).toEqual(parseConfig({}));
    expect(parseConfig({ XIAOHE_ORIGINS: 'https://a.example/, http://b.example:8080' }).origins).toEqual([
      'https://a.example',
      'http://b.example:8080',
    ]);
    expect(parseConfig({}).apiKeys).toEqual([]);
    expect(parseConfig({ XIAOHE_API_KEYS: 'one-key-of-the-school, another-key-of-the-school,' }).apiKeys).toEqual([
      'one-key-of-the-school',
      'another-key-of-the-school',
    ]);
  });

  it.each([
    ['PORT', 'abc'],
    ['PORT', '70000'],
    ['DATABASE_URL', 'mysql://root:hunter2@db/x'],
    ['XIAOHE_ENGINE', 'hunter2'],
    ['XIAOHE_THREADS', '0'],
    ['XIAOHE_ORIGINS', 'https://a.example/path'],
    ['XIAOHE_REMOTE_URL', 'ftp://hunter2'],
    ['XIAOHE_API_KEYS', 'hunter2'],
    ['XIAOHE_API_KEYS', 'a-long-enough-key-0123456789,hunter2'],
    ['XIAOHE_API_KEYS', 'hunter2 hunter2 hunter2 hunter2'],
    ['XIAOHE_API_REQUESTS_PER_MINUTE', '0'],
    ['LOG_LEVEL', 'loud'],
  ])('names %s when it is %s', (name, value) => {
    let error: unknown;
    try {
      parseConfig({ [name]: value });
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(`${name}: `) });
    expect(String(error)).not.toContain('hunter2');
  });

  it('wants an address for the remote engine', () => {
    expect(() => parseConfig({ XIAOHE_ENGINE: 'remote' })).toThrow('XIAOHE_REMOTE_URL');
  });
});
