/** The rows of a `--json` run as tables in docs/performance.md, between two marks; the words around them are people's. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Row } from './main.ts';
import { ROOT } from './peers.ts';

const PAGE = join(ROOT, 'docs/performance.md');
const BEGIN = '<!-- measured: written by `npm run bench -- --table FILE` -->';
const END = '<!-- /measured -->';

interface Machine {
  name: 'machine';
  cpu: string;
  cores: number;
  memoryGiB: number;
  node: string;
  date: string;
}

/** Tables in this order; a row belongs to the first whose prefix its name has. */
const SECTIONS: [prefix: string, title: string][] = [
  ['decode/', 'Decoding'],
  ['prefill/', 'Prefilling'],
  ['first-token/', 'First token'],
  ['experts/', 'Experts'],
  ['engine/', 'The `cpu` engine alone'],
  ['recall/', 'Recall'],
  ['turn/', 'A turn'],
  ['start/', 'Starting'],
  ['memory/', 'Memory'],
];

function table(rows: Row[]): string {
  const compared = rows.some((row) => row.ratio !== undefined);
  const noted = rows.some((row) => row.note);
  const columns: [title: string, cell: (row: Row) => string][] = [
    ['what', (row) => `\`${row.name}\``],
    ['ours', (row) => `${row.ours.toLocaleString('en')} ${row.unit}`],
    ...(compared
      ? ([
          ['beside', (row) => row.peer ?? '–'],
          ['theirs', (row) => (row.theirs === undefined ? '–' : `${row.theirs.toLocaleString('en')} ${row.unit}`)],
          ['ratio', (row) => (row.ratio === undefined ? '–' : `${row.ratio} ×`)],
        ] satisfies [string, (row: Row) => string][])
      : []),
    ['threads', (row) => String(row.threads ?? '–')],
    ['runs', (row) => String(row.runs ?? '–')],
    ...(noted ? ([['', (row) => row.note ?? '']] satisfies [string, (row: Row) => string][]) : []),
  ];
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(([title]) => title)),
    `|${'---|'.repeat(columns.length)}`,
    ...rows.map((row) => line(columns.map(([, cell]) => cell(row)))),
  ].join('\n');
}

/** The text between the marks. */
export function tables(lines: string): string {
  const all = lines
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Row | Machine);
  const machine = all.find((row): row is Machine => row.name === 'machine');
  const rows = all.filter((row): row is Row => row.name !== 'machine');
  const parts: string[] = [];
  if (machine) {
    const { cpu, cores, memoryGiB, node, date } = machine;
    parts.push(
      `Measured ${date} on ${cores} × ${cpu}, ${memoryGiB} GiB, Node ${node}; medians, both sides interleaved.`,
    );
  }
  for (const [prefix, title] of SECTIONS) {
    const own = rows.filter((row) => row.name.startsWith(prefix));
    if (own.length > 0) parts.push(`### ${title}`, table(own));
  }
  return parts.join('\n\n');
}

export async function writeTable(file: string): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`${PAGE} has no marks ${BEGIN} … ${END}`);
  await writeFile(PAGE, `${before}${BEGIN}\n\n${tables(await readFile(file, 'utf8'))}\n\n${END}${after}`);
}
