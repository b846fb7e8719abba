/**
 * Replies waiting for a place, served in turn by person: one each, oldest first, round and round. So a person with many
 * requests delays their own, not everybody's. Pure bookkeeping.
 */

/** Replies waiting in all: a class of 30 asking at once, eight tries for each answer. More are told to come back. */
export const MAX_WAITING = 256;
/** Replies of one person waiting: three questions of eight tries. It takes ten such people to shut out anybody else. */
export const MAX_WAITING_EACH = 24;

export class FairQueue<Item extends { person: string | undefined }> {
  /** People in the order of their turns. Those without a name share one turn, but not one person's bound. */
  readonly #lines = new Map<string | undefined, Item[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** How many wait ahead of a request that must be refused; 0 when there is room for it. */
  fullFor(person: string | undefined): number {
    if (this.#size >= MAX_WAITING) return this.#size;
    const own = person === undefined ? 0 : (this.#lines.get(person)?.length ?? 0);
    return own >= MAX_WAITING_EACH ? own : 0;
  }

  push(item: Item): void {
    const line = this.#lines.get(item.person);
    if (line) line.push(item);
    else this.#lines.set(item.person, [item]);
    this.#size++;
  }

  /** Whose turn it is. */
  get next(): Item | undefined {
    const [line] = this.#lines.values();
    return line?.[0];
  }

  /** Takes the item out if it is in; a person whose turn this was goes to the end of the round. */
  take(item: Item): void {
    const line = this.#lines.get(item.person);
    const at = line?.indexOf(item) ?? -1;
    if (!line || at < 0) return;
    const hadTurn = this.next === item;
    line.splice(at, 1);
    this.#size--;
    if (line.length > 0 && !hadTurn) return;
    this.#lines.delete(item.person);
    if (line.length > 0) this.#lines.set(item.person, line);
  }

  *all(): Iterable<Item> {
    for (const line of this.#lines.values()) yield* line;
  }
}
