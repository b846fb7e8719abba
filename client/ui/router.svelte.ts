/** Four pages over the history API. Links stay ordinary links: they open in new tabs and work with the keyboard. */
export const PATHS = ['/', '/classroom', '/studio', '/growth'] as const;
export type Path = (typeof PATHS)[number];

class Router {
  path: Path = $state(known(location.pathname));
  query = $state.raw(new URLSearchParams(location.search));

  constructor() {
    addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (event) => {
      const link = event.target instanceof Element ? event.target.closest('a') : null;
      if (!link || link.target || event.defaultPrevented || event.button !== 0) return;
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.origin !== location.origin) return;
      if (link.hash && link.pathname === location.pathname) return;
      event.preventDefault();
      this.go(link.pathname + link.search);
    });
  }

  go(address: string): void {
    if (address !== location.pathname + location.search) history.pushState(null, '', address);
    this.#read();
  }

  #read(): void {
    this.path = known(location.pathname);
    this.query = new URLSearchParams(location.search);
  }
}

function known(pathname: string): Path {
  return PATHS.find((path) => path === pathname) ?? '/';
}

export const router = new Router();
