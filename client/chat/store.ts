/** Where the outbox keeps its entries: this device's storage, or memory in a browser that forbids it. */
import type { KeyValueStore } from './outbox.ts';

export function browserStore(): KeyValueStore {
  try {
    const probe = 'xiaohe.probe';
    localStorage.setItem(probe, probe);
    localStorage.removeItem(probe);
    return localStorage;
  } catch {
    return memoryStore();
  }
}

export function memoryStore(): KeyValueStore {
  const entries = new Map<string, string>();
  return {
    get length() {
      return entries.size;
    },
    key: (index) => [...entries.keys()][index] ?? null,
    getItem: (key) => entries.get(key) ?? null,
    setItem: (key, value) => void entries.set(key, value),
    removeItem: (key) => void entries.delete(key),
  };
}
