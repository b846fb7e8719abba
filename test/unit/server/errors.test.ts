/** Whatever is thrown, a person reads a code and words in two languages, and never the original message. */
import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { ModelError } from '../../../agent/model/index.ts';
import { AppError, codeOf, statusOf, toUserError, wordError } from '../../../server/errors.ts';
import { LIMITS, MessageSend, RoomJoin } from '../../../server/protocol.ts';

const withCode = (code: string, more: object = {}) => Object.assign(new Error('secret detail'), { code, ...more });
const parse = (schema: typeof MessageSend | typeof RoomJoin, value: unknown) => schema.safeParse(value).error;
const message = (text: unknown) => ({ room: 'me', id: '5b0e7c3a-8f0e-4f53-9a55-2d6f6a2d3f10', text });

describe('errors', () => {
  it.each([
    [new AppError('BUSY'), 'BUSY'],
    [new ModelError('ENGINE_CRASHED', 'x'), 'ENGINE_CRASHED'],
    [new ModelError('BUSY', 'x'), 'BUSY'],
    [parse(MessageSend, message('  ')), 'MESSAGE_EMPTY'],
    [parse(MessageSend, message('x'.repeat(LIMITS.messageChars + 1))), 'MESSAGE_TOO_LONG'],
    [parse(MessageSend, message(7)), 'BAD_FRAME'],
    [parse(RoomJoin, { room: 'nowhere' }), 'BAD_FRAME'],
    [withCode('ECONNREFUSED'), 'DATABASE_AWAY'],
    [withCode('ENOENT', { syscall: 'connect' }), 'DATABASE_AWAY'],
    [withCode('ENOENT', { syscall: 'open' }), 'INTERNAL'],
    [withCode('57P01'), 'DATABASE_AWAY'],
    [withCode('08006'), 'DATABASE_AWAY'],
    [withCode('53100'), 'DISK_FULL'],
    [withCode('ENOSPC'), 'DISK_FULL'],
    [withCode('25006'), 'DATA_DIR_READONLY'],
    [withCode('EROFS'), 'DATA_DIR_READONLY'],
    [withCode('28P01'), 'DATABASE_REFUSED'],
    [withCode('23505'), 'INTERNAL'],
    [new Error('Connection terminated unexpectedly'), 'DATABASE_AWAY'],
    [new Error('timeout exceeded when trying to connect'), 'DATABASE_AWAY'],
    ['text', 'INTERNAL'],
    [null, 'INTERNAL'],
    [undefined, 'INTERNAL'],
  ])('%s is %s', (error, code) => {
    expect(codeOf(error)).toBe(code);
  });

  it('words what the driver itself throws when nobody answers', async () => {
    const client = new pg.Client({ host: '127.0.0.1', port: 1 });
    const error = await client.connect().catch((cause: unknown) => cause);
    expect(codeOf(error)).toBe('DATABASE_AWAY');
  });

  it('never passes a message on, and always says something in both languages', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 8 }), (code, detail) => {
        const worded = toUserError(Object.assign(new Error(detail), { code }));
        expect(JSON.stringify(worded.message)).not.toContain(JSON.stringify(detail).slice(1, -1));
        expect(worded.message.zh).toMatch(/\p{Script=Han}/u);
        expect(worded.message.en).toMatch(/[a-z]/);
        expect(statusOf(worded.code)).toBeGreaterThanOrEqual(200);
      }),
    );
  });

  it('keeps the time to wait', () => {
    expect(toUserError(new AppError('RATE_LIMITED', undefined, { retryAfterMs: 250 })).retryAfterMs).toBe(250);
    expect(wordError('FROM_A_NEWER_VERSION').code).toBe('INTERNAL');
  });
});
