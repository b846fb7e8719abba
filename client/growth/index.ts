/** The growth page. */
export { default as Growth } from './Growth.svelte';
