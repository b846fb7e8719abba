/** What the page's one polite live region says. Callers hand over whole sentences; tokens would be unbearable to hear. */

/** Kept in the region so that a slow voice is not cut off: sentences. */
const KEPT = 4;

class Announcer {
  sentences: readonly { id: number; text: string }[] = $state.raw([]);
  #id = 0;

  say(text: string): void {
    this.#id += 1;
    this.sentences = [...this.sentences, { id: this.#id, text }].slice(-KEPT);
  }
}

export const announcer = new Announcer();
