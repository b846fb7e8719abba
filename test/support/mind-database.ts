/** A migrated database of either kind with a person, their room and messages in it: what the mind's own tests stand on. */
import { randomUUID } from 'node:crypto';
import { migrate, openDatabase } from '../../server/db/index.ts';
import { createTestDatabase, type DatabaseName, silent } from './databases.ts';

export interface Speaker {
  id: string;
  name: string;
}

export async function openMindDatabase(name: DatabaseName) {
  const database = await createTestDatabase(name);
  const handle = await openDatabase(database.config, silent, { wait: () => undefined, lost: () => undefined });
  await migrate(handle, silent);
  const db = handle.pool;
  let seq = 0;

  return {
    db,
    async person(name: string): Promise<Speaker> {
      const id = randomUUID();
      await db.query('insert into persons (id, name) values ($1, $2)', [id, name]);
      return { id, name };
    },
    /** The person's own room, or a class when nobody is given. */
    async room(owner?: Speaker): Promise<string> {
      const scope = owner ? `me:${owner.id}` : `class:${randomUUID()}`;
      await db.query('insert into rooms (name, kind, person) values ($1, $2, $3)', [
        scope,
        owner ? 'me' : 'class',
        owner?.id ?? null,
      ]);
      return scope;
    },
    async message(scope: string, author: Speaker, text: string): Promise<string> {
      const id = randomUUID();
      await db.query(
        'insert into messages (id, room, seq, author, author_name, text) values ($1, $2, $3, $4, $5, $6)',
        [...[id, scope, ++seq, author.id, author.name, text]],
      );
      return id;
    },
    /** A reply under way to a message. */
    async generation(scope: string, message: string): Promise<string> {
      const id = randomUUID();
      const reply = randomUUID();
      await db.query(
        `insert into messages (id, room, seq, author_name, text, reply_to) values ($1, $2, $3, '小禾', '', $4)`,
        [reply, scope, ++seq, message],
      );
      await db.query(
        'insert into generations (id, room, message, reply, seq, process) values ($1, $2, $3, $4, $5, $6)',
        [...[id, scope, message, reply, seq, randomUUID()]],
      );
      return id;
    },
    async remove() {
      await handle.close();
      await database.remove();
    },
  };
}

export type MindDatabase = Awaited<ReturnType<typeof openMindDatabase>>;
