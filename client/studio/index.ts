/** The studio page. */
export { default as Studio } from './Studio.svelte';
