/**
 * Keeps one room's state in step with the server: joins, folds what arrives, and joins again from the last sequence
 * number when something is missing. Knows nothing of sockets: it is given a way to join and told of events.
 */
import type { Author, GenerationEvent, JoinReply, Message, RoomEvent } from '../../server/protocol.ts';
import { EMPTY_ROOM, foldGeneration, foldRoom, fromJoin, isAhead, type RoomState, withHistory } from './room.ts';

export interface FeedView {
  readonly state: RoomState;
  readonly you: Author | undefined;
  /** False until the first join was answered. */
  readonly joined: boolean;
}

/** One join answers every gap seen in this time, so a broken stream cannot become a storm of joins: ms. */
const GAP_PATIENCE_MS = 100;

export type Join = (after: number | undefined) => Promise<JoinReply>;

export class RoomFeed {
  readonly #join: Join;
  readonly #changed: (view: FeedView) => void;
  #view: FeedView = { state: EMPTY_ROOM, you: undefined, joined: false };
  #seq: number | undefined;
  /** The name the server uses for this room in events; `me` becomes `me:<person>`. */
  #canonical: string;
  #syncing: Promise<void> | undefined;
  /** A gap seen while a join was under way; that join may have been answered before the gap. */
  #again = false;
  #gap: ReturnType<typeof setTimeout> | undefined;
  /** Events that arrive while joining belong after the join's answer. */
  #held: { room: RoomEvent[]; generation: GenerationEvent[] } = { room: [], generation: [] };

  constructor(room: string, join: Join, changed: (view: FeedView) => void) {
    this.#canonical = room;
    this.#join = join;
    this.#changed = changed;
  }

  /** Joins (again). Rejects with what the join rejected with; the state is then unchanged. */
  sync(): Promise<void> {
    this.#again = this.#syncing !== undefined;
    this.#syncing ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#syncing = undefined;
        this.#drain();
      });
    return this.#syncing;
  }

  onRoom(event: RoomEvent): void {
    if (this.#syncing) this.#held.room.push(event);
    else this.#foldRoom(event);
  }

  onGeneration(event: GenerationEvent): void {
    if (this.#syncing) this.#held.generation.push(event);
    else this.#foldGeneration(event);
  }

  addHistory(older: readonly Message[]): void {
    this.#update(withHistory(this.#view.state, older));
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      const reply = await this.#join(this.#seq);
      if (this.#isAnother(reply)) {
        this.#seq = undefined;
        this.#view = { ...this.#view, state: EMPTY_ROOM };
        this.#again = true;
        continue;
      }
      this.#seq = reply.seq;
      this.#canonical = reply.room;
      this.#view = { state: fromJoin(this.#view.state, reply), you: reply.you, joined: true };
      this.#changed(this.#view);
    } while (this.#again);
  }

  /** Another person's room (the session ended and a new one began), or one restored from an older copy. */
  #isAnother(reply: JoinReply): boolean {
    return this.#seq !== undefined && (reply.room !== this.#canonical || reply.seq < this.#seq);
  }

  #drain(): void {
    const held = this.#held;
    this.#held = { room: [], generation: [] };
    for (const event of held.room) this.onRoom(event);
    for (const event of held.generation) this.onGeneration(event);
  }

  #foldRoom(event: RoomEvent): void {
    if (event.room !== this.#canonical || this.#seq === undefined || event.seq <= this.#seq) return;
    if (event.seq > this.#seq + 1) {
      this.#resync();
      return;
    }
    this.#seq = event.seq;
    this.#update(foldRoom(this.#view.state, event));
  }

  #foldGeneration(event: GenerationEvent): void {
    if (event.room !== this.#canonical || this.#seq === undefined) return;
    if (isAhead(this.#view.state, event)) this.#resync();
    else this.#update(foldGeneration(this.#view.state, event));
  }

  #resync(): void {
    this.#gap ??= setTimeout(() => {
      this.#gap = undefined;
      // A failed join is answered by the next connection, which syncs by itself.
      this.sync().catch(() => undefined);
    }, GAP_PATIENCE_MS);
  }

  #update(state: RoomState): void {
    if (state === this.#view.state) return;
    this.#view = { ...this.#view, state };
    this.#changed(this.#view);
  }
}
