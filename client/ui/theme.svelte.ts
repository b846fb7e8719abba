/** Light, dark, or whatever the system says. index.html applies the remembered choice before the first paint. */
import { remember, remembered } from '../remembered.ts';

export type Theme = 'system' | 'light' | 'dark';

class ThemeChoice {
  current: Theme = $state(parse(remembered('theme')));

  choose(theme: Theme): void {
    this.current = theme;
    remember('theme', theme === 'system' ? null : theme);
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }
}

function parse(value: string | null): Theme {
  return value === 'light' || value === 'dark' ? value : 'system';
}

export const theme = new ThemeChoice();
