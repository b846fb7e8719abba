/** The database: opened, migrated, closed. Queries live beside the logic that owns their tables. */
export { migrate } from './migrate.ts';
export { type DatabaseHandle, openDatabase, type Pool } from './pool.ts';
