/**
 * The safetensors header: which tensor lies where in a file. Pure: bytes in, checked table out. Reading the file and
 * turning bytes into numbers is `checkpoint.ts`.
 */
import { z } from 'zod';
import { ModelError } from './types.ts';

/** As the reference implementation: a longer header is an attack or a broken length field. */
const MAX_HEADER_BYTES = 100_000_000;
/** The file starts with the header's length as a little-endian u64. */
export const LENGTH_BYTES = 8;

export const DTYPE_BYTES = { I8: 1, F16: 2, BF16: 2, F32: 4 } as const;
export type Dtype = keyof typeof DTYPE_BYTES;

export interface TensorEntry {
  dtype: Dtype;
  shape: number[];
  /** Byte offset from the start of the file. */
  begin: number;
  bytes: number;
}

const count = z.int().nonnegative();
const Entry = z.object({
  dtype: z.string(),
  shape: z.array(count),
  data_offsets: z.tuple([count, count]),
});

function broken(file: string, reason: string): never {
  throw new ModelError('CHECKPOINT_BROKEN', `${file}: ${reason}`);
}

/** Length of the JSON header, checked against the file's size. `prefix` is the first 8 bytes of the file. */
export function headerBytes(file: string, prefix: Uint8Array, fileBytes: number): number {
  if (fileBytes < LENGTH_BYTES || prefix.length < LENGTH_BYTES) broken(file, `only ${fileBytes} bytes long`);
  const bytes = Number(new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true));
  if (bytes > MAX_HEADER_BYTES || bytes < 2 || LENGTH_BYTES + bytes > fileBytes)
    broken(file, `header claims ${bytes} bytes, the file has ${fileBytes}`);
  return bytes;
}

/** The table of one file. `header` is the JSON text's bytes; every entry is checked against the file and its neighbours. */
export function parseHeader(file: string, header: Uint8Array, fileBytes: number): Map<string, TensorEntry> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(header));
  } catch {
    broken(file, 'header is not JSON');
  }
  const start = LENGTH_BYTES + header.length;
  const table = new Map<string, TensorEntry>();
  for (const [name, raw] of Object.entries(z.record(z.string(), z.unknown()).safeParse(json).data ?? {})) {
    if (name === '__metadata__') continue;
    const parsed = Entry.safeParse(raw);
    if (!parsed.success) broken(file, `tensor ${name}: malformed header entry`);
    const { dtype, shape, data_offsets } = parsed.data;
    if (!(dtype in DTYPE_BYTES))
      throw new ModelError('CHECKPOINT_UNSUPPORTED', `${file}: tensor ${name}: dtype ${dtype} is not supported`);
    const [from, to] = data_offsets;
    const bytes = shape.reduce((product, n) => product * n, DTYPE_BYTES[dtype as Dtype]);
    if (to - from !== bytes)
      broken(file, `tensor ${name}: [${shape}] ${dtype} needs ${bytes} bytes, offsets ${from}–${to} hold ${to - from}`);
    if (start + to > fileBytes)
      broken(file, `tensor ${name}: ends at byte ${start + to}, the file is cut off at ${fileBytes}`);
    table.set(name, { dtype: dtype as Dtype, shape, begin: start + from, bytes });
  }
  if (table.size === 0) broken(file, 'holds no tensors');
  checkTiling(file, table, start, fileBytes);
  return table;
}

/** Tensors must cover the data exactly: no overlap, no hole, nothing after the last. */
function checkTiling(file: string, table: Map<string, TensorEntry>, start: number, fileBytes: number): void {
  let end = start;
  for (const [name, entry] of [...table].sort((a, b) => a[1].begin - b[1].begin || a[1].bytes - b[1].bytes)) {
    if (entry.begin < end) broken(file, `tensor ${name}: overlaps the tensor before it`);
    if (entry.begin > end) broken(file, `tensor ${name}: a hole of ${entry.begin - end} bytes lies before it`);
    end = entry.begin + entry.bytes;
  }
  if (end !== fileBytes) broken(file, `${fileBytes - end} bytes lie after the last tensor`);
}
