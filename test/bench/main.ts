/**
 * `npm run bench -- [--json] [--only decode|prefill|first-token|experts|recall|turn|memory|engine|start]`: every
 * measurement of the house, one row at a time. Measurements are not tests: nothing here passes or fails. Rows are medians;
 * the first row names the machine.
 *
 *   --setup-peers          builds both peers (llama.cpp from source, about ten minutes) and measures nothing
 *   --llama-python PATH    a Python that has llama_cpp and numpy, instead of the one --setup-peers makes
 *   --facts N              recall at N facts only
 *   --threads N            threads of both sides while decoding and prefilling, instead of two
 *   --table FILE           writes the rows of a `--json` run into docs/performance.md and measures nothing
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

export interface BenchOptions {
  only?: string;
  python?: string;
  facts?: number;
  threads?: number;
}

interface Suite {
  /** What its rows' names begin with. */
  prefixes: string[];
  rows: (options: BenchOptions) => Promise<AsyncIterable<Row>>;
}

/** Each suite is loaded only when asked for: some start a server, some a model. */
const SUITES: Suite[] = [
  { prefixes: ['decode', 'prefill'], rows: async (options) => (await import('./speed.ts')).rows(options) },
  {
    prefixes: ['decode', 'prefill', 'first-token', 'memory', 'start/load'],
    rows: async () => (await import('./model.ts')).rows(),
  },
  { prefixes: ['engine', 'memory'], rows: async () => (await import('./engine.ts')).rows() },
  { prefixes: ['experts'], rows: async () => (await import('./experts.ts')).rows() },
  { prefixes: ['recall'], rows: async (options) => (await import('./recall.ts')).rows(options) },
  { prefixes: ['turn', 'start'], rows: async () => (await import('./turn.ts')).rows() },
];

const { values } = parseArgs({
  options: {
    json: { type: 'boolean' },
    only: { type: 'string' },
    'setup-peers': { type: 'boolean' },
    'llama-python': { type: 'string' },
    facts: { type: 'string' },
    threads: { type: 'string' },
    table: { type: 'string' },
  },
});

function print(row: Row | Record<string, unknown>): void {
  if (values.json) process.stdout.write(`${JSON.stringify(row)}\n`);
  else
    process.stdout.write(
      `${Object.entries(row)
        .map(([key, value]) => `${key}=${value}`)
        .join('  ')}\n`,
    );
}

async function measure(): Promise<void> {
  const { only } = values;
  const options: BenchOptions = {
    ...(only && { only }),
    ...(values['llama-python'] && { python: values['llama-python'] }),
    ...(values.facts && { facts: Number(values.facts) }),
    ...(values.threads && { threads: Number(values.threads) }),
  };
  print({
    name: 'machine',
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  });
  for (const suite of SUITES) {
    if (only && !suite.prefixes.some((prefix) => only.startsWith(prefix) || prefix.startsWith(only))) continue;
    try {
      for await (const row of await suite.rows(options)) if (!only || row.name.startsWith(only)) print(row);
    } catch (error) {
      // One suite that cannot run here must not cost the others' rows.
      process.exitCode = 1;
      process.stderr.write(`bench: ${suite.prefixes.join(', ')}: ${error instanceof Error ? error.stack : error}\n`);
    }
  }
}

if (values['setup-peers']) await (await import('./peers.ts')).setUpPeers();
else if (values.table) await (await import('./table.ts')).writeTable(values.table);
else await measure();
