/** A guest with a session and a socket, as a browser would be, for tests of the server. */
import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import type {
  Author,
  ClientToServer,
  GenerationEvent,
  JoinReply,
  Message,
  RoomEvent,
  ServerToClient,
} from '../../server/protocol.ts';

type Events = keyof ClientToServer;
type Reply<E extends Events> = Parameters<Parameters<ClientToServer[E]>[1]>[0];

/** Longer than any honest wait in these tests. */
const WAIT_MS = 60_000;

export class ChatClient {
  readonly url: string;
  readonly cookie: string;
  readonly you: Author;
  readonly socket: Socket<ServerToClient, ClientToServer>;
  readonly roomEvents: RoomEvent[] = [];
  readonly generationEvents: GenerationEvent[] = [];
  /** The last sequence number known of each joined room. */
  readonly #known = new Map<string, number>();

  static async connect(url: string, options: { name?: string; cookie?: string } = {}): Promise<ChatClient> {
    const session = await fetch(`${url}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(options.cookie && { cookie: options.cookie }) },
      body: JSON.stringify(options.name ? { name: options.name } : {}),
    });
    if (!session.ok) throw new Error(`session: ${session.status} ${await session.text()}`);
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? options.cookie ?? '';
    const client = new ChatClient(url, cookie, (await session.json()) as Author);
    await new Promise<void>((resolve, reject) => {
      client.socket.once('connect', resolve);
      client.socket.once('connect_error', reject);
      client.socket.connect();
    });
    return client;
  }

  private constructor(url: string, cookie: string, you: Author) {
    this.url = url;
    this.cookie = cookie;
    this.you = you;
    this.socket = io(url, {
      autoConnect: false,
      forceNew: true,
      transports: ['websocket'],
      extraHeaders: { cookie },
      reconnectionDelay: 100,
      reconnectionDelayMax: 500,
    });
    this.socket.on('room.event', (event) => this.#hear(event));
    this.socket.on('connect', () => void this.#rejoin());
    this.socket.on('generation.event', (event) => this.generationEvents.push(event));
  }

  async ask<E extends Events>(event: E, payload: unknown, timeout = WAIT_MS): Promise<Reply<E>> {
    const socket = this.socket.timeout(timeout) as unknown as {
      emitWithAck(event: string, payload: unknown): Promise<Reply<E>>;
    };
    return await socket.emitWithAck(event, payload);
  }

  async join(room = 'me', after?: number): Promise<JoinReply> {
    const reply = await this.ask('room.join', { room, ...(after !== undefined && { after }) });
    if (!reply.ok) throw new Error(reply.error.code);
    this.#known.set(reply.room, Math.max(reply.seq, this.#known.get(reply.room) ?? 0));
    return reply;
  }

  #hear(event: RoomEvent): void {
    this.roomEvents.push(event);
    if (this.#known.has(event.room)) this.#known.set(event.room, event.seq);
  }

  /** As a page does after a cut: asks every room for what came meanwhile. */
  async #rejoin(): Promise<void> {
    for (const [room, after] of this.#known) {
      const name = room.startsWith('me:') ? 'me' : room;
      const reply = await this.ask('room.join', { room: name, after }).catch(() => undefined);
      if (reply?.ok && 'events' in reply)
        for (const event of reply.events) if (event.seq > this.#known.get(room)!) this.#hear(event);
    }
  }

  async send(text: string, room = 'me', id: string = randomUUID()): Promise<{ id: string; seq: number }> {
    const reply = await this.ask('message.send', { room, id, text });
    if (!reply.ok) throw new Error(reply.error.code);
    return { id, seq: reply.seq };
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    const response = await fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', cookie: this.cookie },
      body: JSON.stringify(body),
    });
    return (await response.json()) as T;
  }

  /** Her ended reply to a message. */
  async reply(message: string): Promise<Message> {
    const ended = (event: RoomEvent) =>
      event.type === 'update' && event.message.replyTo === message && event.message.generation?.status !== 'running';
    await until(() => this.roomEvents.some(ended));
    const event = this.roomEvents.findLast(ended) as RoomEvent & { type: 'update' };
    return event.message;
  }

  close(): void {
    this.socket.disconnect();
  }
}

/** Waits for a condition; the time limit only keeps a failing test from hanging. */
export async function until(condition: () => boolean | Promise<boolean>, ms = WAIT_MS): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come true');
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}
