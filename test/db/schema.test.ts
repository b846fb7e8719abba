/** The schema under a snapshot, the same on both databases; migrating is repeatable and safe for two at once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DatabaseHandle, migrate, openDatabase, type Pool } from '../../server/db/index.ts';
import { createTestDatabase, DATABASES, silent, type TestDatabase } from '../support/databases.ts';

const on = { wait: () => undefined, lost: () => undefined };

describe.each(DATABASES)('schema on %s', (name) => {
  let test: TestDatabase;
  let database: DatabaseHandle;

  beforeAll(async () => {
    test = await createTestDatabase(name);
    database = await openDatabase(test.config, silent, on);
  });
  afterAll(async () => {
    await database?.close();
    await test?.remove();
  });

  it('is what schema.txt says', async () => {
    // Two processes booting on one PostgreSQL migrate at the same time; the embedded one has a single connection.
    const others = name === 'postgres' ? [await openDatabase(test.config, silent, on)] : [];
    await Promise.all([database, ...others].map((handle) => migrate(handle, silent)));
    await Promise.all(others.map((handle) => handle.close()));
    await migrate(database, silent);
    const { rows } = await database.pool.query('select name from migrations');
    expect(rows).toEqual([{ name: '000001_init' }]);
    await expect(await describeSchema(database.pool)).toMatchFileSnapshot('schema.txt');
  });

  it('erases all of a person with the person', async () => {
    const { pool } = database;
    const ids = {
      p: crypto.randomUUID(),
      m: crypto.randomUUID(),
      r: crypto.randomUUID(),
      g: crypto.randomUUID(),
      f: crypto.randomUUID(),
    };
    await pool.query(`insert into persons (id, name) values ($1, '小明')`, [ids.p]);
    await pool.query(`insert into rooms (name, kind, person) values ($1, 'me', $2)`, [`me:${ids.p}`, ids.p]);
    await pool.query(
      `insert into messages (id, room, seq, author, author_name, text) values ($1, $2, 1, $3, '小明', '我有猫')`,
      [ids.m, `me:${ids.p}`, ids.p],
    );
    await pool.query(
      `insert into messages (id, room, seq, author_name, text, reply_to) values ($1, $2, 2, '小禾', '好', $3)`,
      [ids.r, `me:${ids.p}`, ids.m],
    );
    await pool.query(
      `insert into generations (id, room, message, reply, seq, process) values ($1, $2, $3, $4, 2, $1)`,
      [ids.g, `me:${ids.p}`, ids.m, ids.r],
    );
    await pool.query(
      `insert into facts (id, scope, key, text, teacher, message, grams) values ($1, 'me', 'k', '我有猫', $2, $3, to_tsvector('simple', '有猫'))`,
      [ids.f, ids.p, ids.m],
    );
    await pool.query('insert into recalls (generation, fact, rank, score) values ($1, $2, 1, 0.5)', [ids.g, ids.f]);
    await pool.query(`insert into turns (generation, scope, outcome, facts_learned) values ($1, 'me', 'taught', 1)`, [
      ids.g,
    ]);
    const daily = await pool.query('select turns, taught, facts_learned from progress_daily');
    expect(daily.rows).toEqual([{ turns: 1, taught: 1, facts_learned: 1 }]);
    await pool.query('delete from persons where id = $1', [ids.p]);
    for (const table of ['rooms', 'messages', 'generations', 'facts', 'recalls', 'turns'])
      expect((await pool.query(`select count(*)::int as n from ${table}`)).rows, table).toEqual([{ n: 0 }]);
  });
});

/** Only what both databases word the same: columns, keys, checks, indexes. */
async function describeSchema(pool: Pool): Promise<string> {
  const { rows: columns } = await pool.query<{ table_name: string; line: string }>(
    `select table_name, column_name || ' ' || udt_name || case when is_nullable = 'NO' then ' not null' else '' end
       || coalesce(' default ' || column_default, '') as line
     from information_schema.columns where table_schema = 'public' order by table_name, ordinal_position`,
  );
  const { rows: constraints } = await pool.query<{ table_name: string; line: string }>(
    `select r.relname as table_name, pg_get_constraintdef(c.oid) as line from pg_constraint c join pg_class r on r.oid = c.conrelid
     where c.connamespace = 'public'::regnamespace and c.contype in ('p', 'u', 'f', 'c') order by 1, 2`,
  );
  const { rows: indexes } = await pool.query<{ table_name: string; line: string }>(
    `select tablename as table_name, indexdef as line from pg_indexes where schemaname = 'public' order by 1, 2`,
  );
  const tables = [...new Set(columns.map((row) => row.table_name))].sort();
  const linesOf = (rows: { table_name: string; line: string }[], table: string) =>
    rows.filter((row) => row.table_name === table).map((row) => `  ${row.line}`);
  return `${tables
    .map((table) =>
      [table, ...linesOf(columns, table), ...linesOf(constraints, table), ...linesOf(indexes, table)].join('\n'),
    )
    .join('\n\n')}\n`;
}
