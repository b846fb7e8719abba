/** Days as a reader counts them: by the clock of this device. */
const keys = new Map<string, string>();

/** The local calendar day of a time; remembered, because every message asks on every change. */
export function dayKey(iso: string): string {
  let key = keys.get(iso);
  if (key === undefined) {
    key = new Date(iso).toDateString();
    keys.set(iso, key);
  }
  return key;
}

export function daysAgo(iso: string, now: Date): number {
  const midnight = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((midnight(now) - midnight(new Date(iso))) / 86_400_000);
}
