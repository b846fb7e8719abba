/**
 * Ends a text before the first stop string, holding back only what could still become one. Pure but for its own state.
 */
export class StopScanner {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** `last`: nothing follows, so nothing needs to be held back. */
  push(text: string, last: boolean): { text: string; stopped: boolean } {
    const all = this.#held + text;
    const ends = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (ends.length > 0) {
      this.#held = '';
      return { text: all.slice(0, Math.min(...ends)), stopped: true };
    }
    const keep = last ? 0 : this.#partial(all);
    this.#held = all.slice(all.length - keep);
    return { text: all.slice(0, all.length - keep), stopped: false };
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #partial(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
