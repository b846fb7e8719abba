/**
 * Compiles the kernels in `assembly/` to `dist/agent/model/engines/cpu/kernels.wasm`. Plain JavaScript, because it runs
 * before the TypeScript is built. Says nothing unless it fails.
 */
import { mkdirSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const OUT = 'dist/agent/model/engines/cpu';

process.chdir(ROOT);
mkdirSync(OUT, { recursive: true });
// A reader must never meet half a file, nor two builds each other's.
const scratch = `${OUT}/kernels.${process.pid}.wasm`;
const { error, stderr } = await asc.main([
  'agent/model/engines/cpu/assembly/index.ts',
  '--outFile',
  scratch,
  ...['--enable', 'simd', '--enable', 'threads', '--importMemory', '--sharedMemory'],
  // The module keeps nothing of its own in memory; the arena starts behind the first page, the most is what wasm32 holds.
  ...['--initialMemory', '1', '--maximumMemory', '65536', '--runtime', 'stub'],
  ...['-O3', '--converge', '--noAssert'],
]);
if (error) {
  console.error(stderr.toString());
  process.exit(1);
}
renameSync(scratch, `${OUT}/kernels.wasm`);
