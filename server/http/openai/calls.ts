/** The calls under way: how many, a signal for each, and an orderly end when the server stops. */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../errors.ts';
import { ClientLeft } from './errors.ts';

export interface Calls {
  readonly active: number;
  /** Notes a call until its response is closed. The signal aborts when the client leaves or the server stops. */
  begin(response: ServerResponse): AbortSignal;
  /** Waits for the calls under way, then stops those that are left. */
  drain(milliseconds: number): Promise<void>;
}

export function createCalls(): Calls {
  const running = new Set<AbortController>();
  let emptied = () => {};
  return {
    get active() {
      return running.size;
    },
    begin(response) {
      const call = new AbortController();
      running.add(call);
      response.once('close', () => {
        running.delete(call);
        call.abort(new ClientLeft());
        if (running.size === 0) emptied();
      });
      return call.signal;
    },
    async drain(milliseconds) {
      if (running.size === 0) return;
      const done = new Promise<void>((resolve) => {
        emptied = resolve;
      });
      await Promise.race([done, sleep(milliseconds, undefined, { ref: false })]);
      for (const call of running) call.abort(new AppError('API_NOT_READY', undefined, { retryAfterMs: RESTART_MS }));
    },
  };
}

/** What a restart takes, milliseconds, so that clients do not come back too early. */
export const RESTART_MS = 3_000;
