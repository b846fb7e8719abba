/**
 * The `cpu` engine: the whole network as int8 WebAssembly on several threads over one shared memory. A step of a whole
 * ragged batch is one call; between steps every thread but the caller's sleeps. It computes on the calling thread, so it
 * belongs into a worker, never onto the server's event loop.
 *
 * Weights are the checkpoint's int8 blocks, unchanged; activations are rounded to 16 bits a block, keys and values to 14
 * bits a token and head. Logits therefore differ from fp32 arithmetic by about 1e-4 of their spread.
 */
import { Worker } from 'node:worker_threads';
import type { Checkpoint } from '../../checkpoint.ts';
import { type Batch, type Engine, type EngineInfo, ModelError, type ModelOptions, PAGE_TOKENS } from '../../types.ts';
import { compiled, compileKernels, instantiate, type Kernels } from './kernels.ts';
import { type Layout, PASS_LOGITS, PASS_ROWS, planLayout, stageCount } from './layout.ts';
import { packCheckpoint, writeRotary } from './pack.ts';
import { cutPasses, type Pass } from './passes.ts';
import type { WorkerTask } from './worker.ts';

const WASM_PAGE = 65_536;
/** Tokens run once at load (30 ms), so that V8 has optimised the kernels before the first person waits for them. */
const WARM_UP_TOKENS = 64;

export interface CpuEngineOptions {
  threads: number;
  /** KV pages for the caller. */
  pages: number;
  log?: ModelOptions['log'];
}

export async function openCpuEngine(checkpoint: Checkpoint, options: CpuEngineOptions): Promise<Engine> {
  const threads = Math.max(1, Math.floor(options.threads));
  const layout = planLayout(checkpoint.config, options.pages, threads);
  const pageCount = Math.ceil(layout.bytes / WASM_PAGE);
  const memory = new WebAssembly.Memory({ initial: pageCount, maximum: pageCount, shared: true });
  packCheckpoint(memory.buffer, checkpoint, layout);
  writeRotary(memory.buffer, checkpoint, layout);
  const module = await compileKernels();
  const kernels = instantiate(module, memory, layout.globals[0]!);
  const workers = await startWorkers(layout.globals.slice(1).map((settings) => ({ module, memory, settings })));
  const info: EngineInfo = {
    name: 'cpu',
    device: `own WebAssembly kernels (${threads} thread${threads === 1 ? '' : 's'}, SIMD, int8 weights)`,
    gpu: false,
    threads,
  };
  const engine = new CpuEngine(info, options.pages, checkpoint, layout, memory.buffer, kernels, workers);
  engine.warmUp(WARM_UP_TOKENS);
  options.log?.('info', 'cpu engine ready', { threads, memoryMiB: Math.round(layout.bytes / 2 ** 20) });
  return engine;
}

async function startWorkers(tasks: WorkerTask[]): Promise<Worker[]> {
  const workers = tasks.map((workerData) => new Worker(compiled('worker.js'), { workerData, name: 'xiaohe-cpu' }));
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            worker.once('message', () => resolve());
            worker.once('error', reject);
          }),
      ),
    );
  } catch (cause) {
    for (const worker of workers) void worker.terminate();
    throw new ModelError('ENGINE_UNAVAILABLE', 'cpu engine: a thread did not start', { cause });
  }
  return workers;
}

class CpuEngine implements Engine {
  readonly info: EngineInfo;
  readonly pages: number;
  private readonly checkpoint: Checkpoint;
  private readonly layout: Layout;
  private readonly memory: ArrayBufferLike;
  private readonly kernels: Kernels;
  private readonly workers: Worker[];
  private sums = new Float64Array();
  private open = true;
  private crashed = false;

  constructor(
    info: EngineInfo,
    pages: number,
    checkpoint: Checkpoint,
    layout: Layout,
    memory: ArrayBufferLike,
    kernels: Kernels,
    workers: Worker[],
  ) {
    this.info = info;
    this.pages = pages;
    this.checkpoint = checkpoint;
    this.layout = layout;
    this.memory = memory;
    this.kernels = kernels;
    this.workers = workers;
    for (const worker of workers)
      worker.once('exit', () => {
        this.crashed = this.open;
      });
  }

  async step(batch: Batch): Promise<Float32Array> {
    const { vocabulary } = this.checkpoint.config;
    const passes = cutPasses(batch, this.limits(this.pages));
    const total = passes.reduce((sum, { wanted }) => sum + wanted.length, 0);
    this.sums = new Float64Array(total);
    if (passes.length === 1) {
      this.run(passes[0]!, true);
      this.keepSums(0, total);
      return this.floats('logits', total * vocabulary);
    }
    const logits = new Float32Array(total * vocabulary);
    let row = 0;
    for (const pass of passes) {
      this.run(pass, true);
      const rows = pass.wanted.length;
      logits.set(this.floats('logits', rows * vocabulary), row * vocabulary);
      this.keepSums(row, rows);
      row += rows;
    }
    return logits;
  }

  logSumExp(): Float64Array {
    return this.sums;
  }

  private keepSums(from: number, rows: number): void {
    const summaries = this.floats('summaries', 2 * rows);
    for (let row = 0; row < rows; row++)
      this.sums[from + row] = summaries[2 * row]! + Math.log(summaries[2 * row + 1]!);
  }

  async embed(tokens: Int32Array): Promise<Float32Array> {
    const { hidden } = this.checkpoint.config;
    const room = this.layout.ownPages * PAGE_TOKENS;
    if (tokens.length > room)
      throw new ModelError('CONTEXT_TOO_LONG', `${tokens.length} tokens to embed, there is room for ${room}`);
    const pages = Int32Array.from({ length: this.layout.ownPages }, (_, i) => this.pages + i);
    const sequence = { start: 0, count: tokens.length, past: 0, pages, logits: false };
    const limits = this.limits(this.pages + pages.length);
    const sum = new Float32Array(hidden);
    for (const pass of cutPasses({ tokens, sequences: [sequence] }, limits)) {
      pass.wanted = pass.tokens.map((_, row) => row);
      this.run(pass, false);
      const states = this.floats('projected', pass.tokens.length * hidden);
      for (let i = 0; i < states.length; i++) sum[i % hidden]! += states[i]!;
    }
    return sum.map((value) => value / tokens.length);
  }

  /** Runs made-up tokens through every kernel, batched and single, in pages of the engine's own. */
  warmUp(count: number): void {
    const pages = Array.from({ length: this.layout.ownPages }, (_, i) => this.pages + i);
    const rows = Array.from({ length: Math.min(count, this.checkpoint.config.context) }, (_, i) => i);
    const { vocabulary } = this.checkpoint.config;
    const tokens = rows.map((i) => i % vocabulary);
    const start = rows.map(() => 0);
    this.run({ tokens, positions: rows, pagesAt: start, pages, wanted: [0] }, true);
    for (const position of rows)
      this.run({ tokens: [position % vocabulary], positions: [position], pagesAt: [0], pages, wanted: [0] }, true);
  }

  async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    this.kernels.stop();
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private limits(pages: number) {
    const { vocabulary, context } = this.checkpoint.config;
    return { vocabulary, context, pages, rows: PASS_ROWS, logits: PASS_LOGITS };
  }

  private address(name: string): number {
    return this.layout.globals[0]![name]!;
  }

  private floats(name: string, length: number): Float32Array {
    return new Float32Array(this.memory, this.address(name), length);
  }

  private run(pass: Pass, logits: boolean): void {
    if (!this.open) throw new ModelError('ENGINE_UNAVAILABLE', 'cpu engine: closed');
    if (this.crashed) throw new ModelError('ENGINE_CRASHED', 'cpu engine: a thread has died');
    const words = new Int32Array(this.memory);
    const write = (name: string, values: number[]) => words.set(values, this.address(name) >> 2);
    write('order', [pass.tokens.length, pass.wanted.length, logits ? 1 : 0]);
    for (const name of ['tokens', 'positions', 'pagesAt', 'pages', 'wanted'] as const) write(name, pass[name]);
    const claims = this.address('claims') >> 2;
    words.fill(0, claims, claims + stageCount(this.checkpoint.config));
    try {
      this.kernels.step();
    } catch (cause) {
      // A trap leaves the threads out of step: nothing this engine computes afterwards could be trusted.
      this.crashed = true;
      for (const worker of this.workers) void worker.terminate();
      throw new ModelError('ENGINE_CRASHED', 'cpu engine: a kernel trapped', { cause });
    }
  }
}
