/** Safe markdown for messages: `<Markdown text streaming />`. */
export { default as Markdown } from './Markdown.svelte';
