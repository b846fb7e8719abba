/** Who calls: bearer keys, and how often each may. A key is known here by its hash alone, and never reaches the log. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { AppError } from '../../errors.ts';

/** Hex digits of its hash by which a key is told from the others in queues and counts. */
const NAME_DIGITS = 12;
const WINDOW_SECONDS = 60;

export interface Keys {
  /** Whose key this is. Throws API_KEYS_UNSET or API_KEY_WRONG. */
  personOf(authorization: string | undefined): string;
}

export function createKeys(keys: readonly string[]): Keys {
  const known = keys.map((key) => {
    const hash = sha256(key);
    return { hash, person: `api:${hash.toString('hex').slice(0, NAME_DIGITS)}` };
  });
  return {
    personOf(authorization) {
      if (known.length === 0) throw new AppError('API_KEYS_UNSET');
      const given = sha256(/^Bearer +(.+)$/i.exec(authorization ?? '')?.[1]?.trim() ?? '');
      // All are compared, each in constant time: how long it takes tells nothing about any of them.
      const [match] = known.filter(({ hash }) => timingSafeEqual(hash, given));
      if (!match) throw new AppError('API_KEY_WRONG');
      return match.person;
    },
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

export interface RateLimit {
  /** Counts one request; `headers` tell clients where they stand. */
  take(person: string): Promise<{ headers: Record<string, string>; refusal?: AppError }>;
}

export function createRateLimit(perMinute: number): RateLimit {
  const limiter = new RateLimiterMemory({ points: perMinute, duration: WINDOW_SECONDS });
  const headersOf = ({ remainingPoints, msBeforeNext }: RateLimiterRes) => ({
    'x-ratelimit-limit-requests': String(perMinute),
    'x-ratelimit-remaining-requests': String(remainingPoints),
    'x-ratelimit-reset-requests': `${Math.ceil(msBeforeNext / 1_000)}s`,
  });
  return {
    async take(person) {
      try {
        return { headers: headersOf(await limiter.consume(person)) };
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw refusal;
        const retryAfterMs = Math.max(1, refusal.msBeforeNext);
        return { headers: headersOf(refusal), refusal: new AppError('RATE_LIMITED', undefined, { retryAfterMs }) };
      }
    },
  };
}
