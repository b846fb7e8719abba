/** The page's own furniture: theme, routing, announcements, health, and the small visual parts. */

export { default as Announcer } from './Announcer.svelte';
export { announcer } from './announcer.svelte.ts';
export { default as ErrorCard } from './ErrorCard.svelte';
export { default as Header } from './Header.svelte';
export { health } from './health.svelte.ts';
export { default as Icon } from './Icon.svelte';
export { default as Plans } from './Plans.svelte';
export { router } from './router.svelte.ts';
export { default as Seedling } from './Seedling.svelte';
