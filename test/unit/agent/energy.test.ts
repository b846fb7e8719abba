/** Energy: the machine's counters where they can be read, an estimate that says so otherwise. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { energyOf, GRID_GCO2E_PER_KWH, startMeter, WATTS_PER_BUSY_CORE } from '../../../agent/energy.ts';

const root = mkdtempSync(join(tmpdir(), 'xiaohe-powercap-'));
afterAll(() => rmSync(root, { recursive: true }));

function counter(name: string, microjoules: number): void {
  mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, name, 'energy_uj'), `${microjoules}\n`);
  writeFileSync(join(root, name, 'max_energy_range_uj'), '1000000\n');
}

describe('energy', () => {
  it('adds the packages, not their parts, and survives a wrapped counter', async () => {
    counter('intel-rapl:0', 200_000);
    counter('intel-rapl:1', 900_000);
    counter('intel-rapl:0:0', 0);
    const meter = await startMeter(root);
    counter('intel-rapl:0', 700_000);
    counter('intel-rapl:1', 100_000);
    counter('intel-rapl:0:0', 500_000);
    expect(await meter.read()).toBeCloseTo(0.7);
  });

  it('reads nothing where there is nothing to read', async () => {
    const meter = await startMeter(join(root, 'absent'));
    expect(await meter.read()).toBeNull();
  });

  it('charges a reading as measured and computing time as an estimate', () => {
    expect(energyOf(7.2, 5000, 2)).toEqual({ joules: 7.2, gco2e: (7.2 / 3.6e6) * GRID_GCO2E_PER_KWH, measured: true });
    expect(energyOf(null, 2000, 2)).toMatchObject({ joules: 4 * WATTS_PER_BUSY_CORE, measured: false });
  });
});
