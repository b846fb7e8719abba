/**
 * The one connection to the server: a guest session over HTTP, then Socket.IO. Reports its state in four calm words and
 * hands events on; it holds no room state and never resends by itself (`outbox.ts` does).
 */
import { io, type Socket } from 'socket.io-client';
import type { ClientToServer, GenerationEvent, RoomEvent, ServerToClient } from '../../server/protocol.ts';
import { openSession } from './api.ts';

/** `offline`: this device has no network; `waiting`: the network is there but the server does not answer. */
export type LinkStatus = 'connecting' | 'online' | 'offline' | 'waiting';

type Events = keyof ClientToServer;
type Payload<E extends Events> = Parameters<ClientToServer[E]>[0];
type Reply<E extends Events> = Parameters<Parameters<ClientToServer[E]>[1]>[0];

export interface LinkHandlers {
  status(status: LinkStatus): void;
  connected(): void;
  disconnected(): void;
  roomEvent(event: RoomEvent): void;
  generationEvent(event: GenerationEvent): void;
}

/** Longer than the slowest honest answer (a busy database), shorter than a person's patience: ms. */
const ACK_TIMEOUT_MS = 10_000;
/** Between attempts to get a session or to reconnect: ms. A class of 30 reconnecting at once must not stampede. */
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 3_000;

export class Link {
  readonly #socket: Socket<ServerToClient, ClientToServer>;
  readonly #handlers: LinkHandlers;
  #opening = false;

  constructor(handlers: LinkHandlers) {
    this.#handlers = handlers;
    this.#socket = io({
      autoConnect: false,
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      reconnectionDelay: RETRY_FIRST_MS,
      reconnectionDelayMax: RETRY_MOST_MS,
    });
    this.#socket.on('connect', () => {
      handlers.status('online');
      handlers.connected();
    });
    this.#socket.on('disconnect', () => {
      handlers.disconnected();
      this.#lost();
    });
    this.#socket.on('connect_error', () => this.#lost());
    this.#socket.on('room.event', (event) => handlers.roomEvent(event));
    this.#socket.on('generation.event', (event) => handlers.generationEvent(event));
    addEventListener('offline', () => handlers.status('offline'));
    addEventListener('online', () => void this.open());
  }

  /** Gets a session, then connects; keeps trying until both succeed. */
  async open(): Promise<void> {
    if (this.#opening || this.#socket.connected) return;
    this.#opening = true;
    for (let attempt = 0; !(await openSession()).ok; attempt += 1) {
      this.#handlers.status(navigator.onLine ? 'waiting' : 'offline');
      const wait = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** attempt);
      await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random())));
    }
    this.#opening = false;
    this.#socket.connect();
  }

  /** Sends and waits for the acknowledgement. Rejects when none came. */
  async call<E extends Events>(event: E, payload: Payload<E>): Promise<Reply<E>> {
    if (!this.#socket.connected) throw new Error('not connected');
    // The typings of emitWithAck cannot follow a generic event name.
    const socket = this.#socket.timeout(ACK_TIMEOUT_MS) as unknown as {
      emitWithAck(event: string, payload: unknown): Promise<Reply<E>>;
    };
    return await socket.emitWithAck(event, payload);
  }

  /** A renamed visitor's connection still carries the old name; a fresh one does not. */
  restart(): void {
    this.#socket.disconnect().connect();
  }

  #lost(): void {
    this.#handlers.status(navigator.onLine ? 'waiting' : 'offline');
    // Socket.IO reconnects by itself except when the server refused or closed the connection: the session may be gone.
    if (!this.#socket.active) setTimeout(() => void this.open(), RETRY_MOST_MS * Math.random());
  }
}
