/**
 * Builds the page into `dist/page`. The server replaces `__CSP_NONCE__` in index.html for every request, so index.html
 * must never be cached; everything under `assets/` carries a content hash and may be cached for ever.
 */
import { svelte, vitePreprocess } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** `npx vite client` forwards the API to a server on this port. */
const DEV_SERVER = 'http://localhost:8600';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [svelte({ configFile: false, preprocess: vitePreprocess() })],
  html: { cspNonce: '__CSP_NONCE__' },
  build: {
    outDir: '../dist/page',
    emptyOutDir: true,
    target: 'es2022',
    // A data: URL would need `img-src data:` for nothing; small files are cheap over one connection.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      '/api': DEV_SERVER,
      '/health': DEV_SERVER,
      '/socket.io': { target: DEV_SERVER, ws: true },
    },
  },
});
