/** The JSON routes: who am I, which rooms. Everything that happens inside a room goes over the socket. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Pool } from '../db/index.ts';
import { AppError } from '../errors.ts';
import { createGuest, findPerson, noteSeen, type Person, pseudonym, SESSION_DAYS } from '../people/index.ts';
import { type Author, RoomEnter, type RoomInfo, RoomOpen, SessionRequest } from '../protocol.ts';
import type { Limit } from '../realtime/index.ts';
import {
  addMember,
  findByCode,
  listRooms,
  noteMember,
  openRoom,
  type Publisher,
  rename,
  storable,
} from '../rooms/index.ts';

export const SESSION_COOKIE = 'xiaohe_session';

export interface ApiParts {
  pool: Pool;
  publisher: Publisher;
  limits: { sessions: Limit; joins: Limit };
}

export function serveApi(app: FastifyInstance, { pool, publisher, limits }: ApiParts): void {
  app.post('/api/session', async (request, reply): Promise<Author> => {
    const wanted = SessionRequest.parse(request.body ?? {}).name;
    const name = wanted && (storable(wanted).trim() || undefined);
    const known = await findPerson(pool, request.cookies[SESSION_COOKIE]);
    if (known) {
      await noteSeen(pool, known.id);
      if (name && name !== known.name) await renameEverywhere(known, name);
      return author({ ...known, name: name ?? known.name });
    }
    await limits.sessions.take(request.ip);
    const { person, token } = await createGuest(pool, name ?? pseudonym());
    setSession(request, reply, token);
    return author(person);
  });

  app.get('/api/session', async (request): Promise<Author> => author(await signedIn(request)));

  app.get('/api/rooms', async (request): Promise<{ rooms: RoomInfo[] }> => {
    const person = await signedIn(request);
    return { rooms: await listRooms(pool, person.id) };
  });

  app.post('/api/rooms', async (request): Promise<RoomInfo> => {
    const person = await signedIn(request);
    await limits.joins.take(person.id);
    const { kind, title } = RoomOpen.parse(request.body);
    return await openRoom(pool, person.id, kind, title && storable(title));
  });

  app.post('/api/rooms/join', async (request): Promise<RoomInfo> => {
    const person = await signedIn(request);
    // By address too: a new guest costs nothing, so a person's own limit would not stop guessing.
    await limits.joins.take(person.id);
    await limits.sessions.take(request.ip);
    const room = await findByCode(pool, RoomEnter.parse(request.body).code);
    await publisher.write(room.room, async () => {
      const seq = await addMember(pool, room.room, person.id);
      return { result: undefined, events: seq ? [{ seq, type: 'member' as const, person: person.id }] : [] };
    });
    return room;
  });

  async function signedIn(request: FastifyRequest): Promise<Person> {
    const person = await findPerson(pool, request.cookies[SESSION_COOKIE]);
    if (!person) throw new AppError('NO_SESSION');
    return person;
  }

  async function renameEverywhere(person: Person, name: string): Promise<void> {
    for (const room of await rename(pool, person.id, name))
      await publisher.write(room, async () => {
        const seq = await noteMember(pool, room, person.id);
        return { result: undefined, events: seq ? [{ seq, type: 'member' as const, person: person.id }] : [] };
      });
  }
}

function author({ id, name }: Person): Author {
  return { id, name, kind: 'person' };
}

function setSession(request: FastifyRequest, reply: FastifyReply, token: string): void {
  reply.setCookie(SESSION_COOKIE, token, {
    path: '/',
    httpOnly: true,
    sameSite: 'lax',
    secure: request.protocol === 'https',
    maxAge: SESSION_DAYS * 86_400,
  });
}
