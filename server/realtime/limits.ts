/** How fast one person may act. Counted in memory, per process: enough against scripts and stuck keys. */
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { AppError } from '../errors.ts';

export interface Limit {
  /** Counts one act. Throws RATE_LIMITED, which says when to try again. */
  take(key: string): Promise<void>;
}

export function createLimit(points: number, seconds: number): Limit {
  const limiter = new RateLimiterMemory({ points, duration: seconds });
  return {
    async take(key) {
      try {
        await limiter.consume(key);
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw refusal;
        throw new AppError('RATE_LIMITED', undefined, { retryAfterMs: Math.max(1, refusal.msBeforeNext) });
      }
    },
  };
}

export const TEN_SECONDS = 10;
/** Reading is cheap but not free; a page that reconnects in a loop joins far less often than this. */
export const READS_PER_10S = 120;
/** Stops and retries come from a finger on a button. */
export const CONTROLS_PER_10S = 60;
/** Guessing one live code among 900,000 at this rate takes weeks; mistyping it five times does not lock a pupil out. */
export const JOINS_PER_MINUTE = 10;
/** A whole school behind one address may arrive in one lesson's first minute. */
export const SESSIONS_PER_MINUTE_PER_ADDRESS = 300;
