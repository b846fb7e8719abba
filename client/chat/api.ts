/**
 * The HTTP calls of the page. Every one answers with a value; a network failure is an error value like any other.
 */
import type { Ack, Author, RoomInfo, UserError } from '../../server/protocol.ts';

/** What a person reads when the server could not be reached at all, so no words of its own came back. */
export const UNREACHABLE: UserError = {
  code: 'SERVER_UNREACHABLE',
  message: {
    zh: '连不上服务器。请检查网络，过一会儿再试。',
    en: 'The server cannot be reached. Check your network and try again in a moment.',
  },
};

export function openSession(name?: string): Promise<Ack<Partial<Author>>> {
  return post('/api/session', name ? { name } : {});
}

export function openRoom(title: string): Promise<Ack<RoomInfo>> {
  return post('/api/rooms', title ? { kind: 'class', title } : { kind: 'class' });
}

export function enterRoom(code: string): Promise<Ack<RoomInfo>> {
  return post('/api/rooms/join', { code });
}

export function listRooms(): Promise<Ack<{ rooms: RoomInfo[] }>> {
  return ask('/api/rooms', {});
}

function post<T>(path: string, body: object): Promise<Ack<T>> {
  const headers = { 'content-type': 'application/json' };
  return ask(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function ask<T>(path: string, init: RequestInit): Promise<Ack<T>> {
  try {
    const response = await fetch(path, init);
    const value = await response.json();
    if (response.ok) return { ok: true, ...value };
    return { ok: false, error: value?.error?.message?.zh ? value.error : UNREACHABLE };
  } catch {
    return { ok: false, error: UNREACHABLE };
  }
}
