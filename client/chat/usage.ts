/** What one reply cost, as rows to read. Figures that are estimates are marked as such, never silently mixed in. */
import type { Generation } from '../../server/protocol.ts';
import type { Dictionary } from '../i18n/index.ts';

export interface UsageRow {
  name: string;
  value: string;
  note?: string;
}

interface Wording {
  readonly t: Dictionary;
  number(value: number): string;
  whole(value: number): string;
}

export function usageRows(generation: Generation, { t, number, whole }: Wording): UsageRow[] {
  const rows: UsageRow[] = [];
  const usage = generation.usage;
  if (usage) {
    const note = usage.measured ? t.usage.measured : t.usage.estimated;
    rows.push({
      name: t.usage.tokens,
      value: t.usage.tokensValue(whole(usage.promptTokens), whole(usage.completionTokens)),
    });
    rows.push({ name: t.usage.first, value: duration(usage.firstTokenMs, number) });
    rows.push({ name: t.usage.total, value: duration(usage.totalMs, number) });
    const speed = tokensPerSecond(usage.completionTokens, usage.totalMs - usage.firstTokenMs);
    if (speed !== undefined) rows.push({ name: t.usage.speed, value: t.usage.speedValue(number(speed)) });
    // What another machine spent on a reply is not known here, and 0 would be a lie.
    if (!generation.engine.startsWith('remote')) {
      rows.push({ name: t.usage.energy, value: `${number(usage.energyJ)} J`, note });
      rows.push({ name: t.usage.carbon, value: `${number(usage.gco2e)} gCO₂e`, note });
    }
  }
  rows.push({ name: t.usage.skill, value: t.skill[generation.skill] });
  rows.push({ name: t.usage.checkpoint, value: generation.checkpoint });
  rows.push({ name: t.usage.engine, value: generation.engine });
  return rows;
}

/** The first token is paid by reading the prompt, so speed counts the others. */
function tokensPerSecond(completionTokens: number, ms: number): number | undefined {
  return completionTokens > 1 && ms > 0 ? ((completionTokens - 1) * 1000) / ms : undefined;
}

function duration(ms: number, number: (value: number) => string): string {
  return ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000)} s`;
}
