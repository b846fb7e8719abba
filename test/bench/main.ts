/**
 * `npm run bench -- [--json] [--only decode|prefill|experts|recall|turn|…]`: every measurement of the house, one row at a
 * time. Measurements are not tests: nothing here passes or fails. Rows are medians; the first row names the machine.
 */
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';

/** One measured number; `theirs` and `ratio` when a peer ran beside us in the same interleaved run. */
export interface Row {
  name: string;
  unit: string;
  ours: number;
  peer?: string;
  theirs?: number;
  ratio?: number;
  threads?: number;
  runs?: number;
  note?: string;
}

/** Each suite is loaded only when asked for: some start a server, some a model. */
const SUITES: { prefixes: string[]; rows: (only: string | undefined) => Promise<AsyncIterable<Row>> }[] = [
  {
    prefixes: ['decode', 'prefill', 'first-token', 'experts', 'memory', 'start/load'],
    rows: async (only) => (await import('./model.ts')).rows(only),
  },
  { prefixes: ['engine'], rows: async () => (await import('./engine.ts')).rows() },
  { prefixes: ['turn', 'start'], rows: async () => (await import('./turn.ts')).rows() },
];

const { values } = parseArgs({ options: { json: { type: 'boolean' }, only: { type: 'string' } } });

function print(row: Row | Record<string, unknown>): void {
  if (values.json) process.stdout.write(`${JSON.stringify(row)}\n`);
  else
    process.stdout.write(
      `${Object.entries(row)
        .map(([key, value]) => `${key}=${value}`)
        .join('  ')}\n`,
    );
}

print({
  name: 'machine',
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  date: new Date().toISOString().slice(0, 10),
});
for (const suite of SUITES) {
  const { only } = values;
  if (only && !suite.prefixes.some((prefix) => only.startsWith(prefix) || prefix.startsWith(only))) continue;
  for await (const row of await suite.rows(values.only))
    if (!values.only || row.name.startsWith(values.only)) print(row);
}
