/**
 * Small choices kept on this device: language, theme, drafts, rooms visited. A browser that forbids storage simply
 * forgets them.
 */
const PREFIX = 'xiaohe.';

export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, value);
  } catch {
    // Storage full or forbidden: the choice lasts as long as the page.
  }
}
