/**
 * What one reply cost: read from the processor's own counters (Intel and AMD RAPL through Linux powercap) where the
 * system lets us, otherwise estimated from computing time and said to be so. The counters see the whole package, so with
 * several replies at once each is charged what the machine used meanwhile: an upper bound, never flattering.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Energy } from './types.ts';

const POWERCAP = '/sys/class/powercap';

/** Watts of one busy server core with its share of cache and memory; typical of 2020s x86 servers (120–280 W / 32–64 cores, part load). */
export const WATTS_PER_BUSY_CORE = 6;
/** Grams of CO₂-equivalent per kWh: the world's average grid in 2024 (Ember, 473 g); a site that knows better may say so. */
export const GRID_GCO2E_PER_KWH = 473;

const JOULES_PER_KWH = 3_600_000;

export interface EnergyMeter {
  /** Joules since the meter was started; null when the counters could not be read. */
  read(): Promise<number | null>;
}

interface Counter {
  file: string;
  /** The counter wraps at this many microjoules. */
  range: number;
}

/** Package counters of this machine; empty where there are none or they are readable by root only. */
async function counters(root: string): Promise<Counter[]> {
  const names = await readdir(root).catch(() => []);
  // `intel-rapl:0` is a package; `intel-rapl:0:0` is a part of it and must not be counted twice.
  const packages = names.filter((name) => /^[a-z-]+:\d+$/.test(name));
  const found = await Promise.all(
    packages.map(async (name) => {
      const file = join(root, name, 'energy_uj');
      const [value, range] = await Promise.all([readNumber(file), readNumber(join(root, name, 'max_energy_range_uj'))]);
      return value === null || range === null ? [] : [{ file, range }];
    }),
  );
  return found.flat();
}

async function readNumber(file: string): Promise<number | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const value = Number.parseInt(text, 10);
  return Number.isFinite(value) ? value : null;
}

/** Starts measuring now. `root` is a parameter so that a test can lay out a powercap tree of its own. */
export async function startMeter(root = POWERCAP): Promise<EnergyMeter> {
  const list = await counters(root);
  const before = await Promise.all(list.map((counter) => readNumber(counter.file)));
  return {
    async read() {
      if (list.length === 0) return null;
      const after = await Promise.all(list.map((counter) => readNumber(counter.file)));
      let microjoules = 0;
      for (const [i, counter] of list.entries()) {
        const from = before[i];
        const to = after[i];
        if (from == null || to == null) return null;
        microjoules += to >= from ? to - from : to - from + counter.range;
      }
      return microjoules / 1e6;
    },
  };
}

/** Joules and CO₂ of a reply: measured if there is a reading, else `busyMs` of `cores` at the estimate above. */
export function energyOf(measuredJoules: number | null, busyMs: number, cores: number): Energy {
  const joules = measuredJoules ?? (busyMs / 1000) * cores * WATTS_PER_BUSY_CORE;
  return { joules, gco2e: (joules / JOULES_PER_KWH) * GRID_GCO2E_PER_KWH, measured: measuredJoules !== null };
}
