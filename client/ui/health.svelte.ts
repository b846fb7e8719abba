/** What `GET /health` says, asked again until the model is ready and now and then afterwards. */
import type { Health } from '../../server/protocol.ts';

/** A model loads in seconds; the page should notice soon: ms. */
const WAKING_MS = 2_000;
/** Ready: only to notice a restart with another model: ms. */
const READY_MS = 60_000;

class HealthState {
  current: Health | undefined = $state.raw();
  #timer: ReturnType<typeof setTimeout> | undefined;

  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      // Not ready is answered with 503 and the same body.
      const response = await fetch('/health');
      const body = await response.json();
      this.current = body?.live ? body : undefined;
    } catch {
      this.current = undefined;
    }
    this.#timer = setTimeout(() => void this.refresh(), this.current?.ready ? READY_MS : WAKING_MS);
  }
}

export const health = new HealthState();
