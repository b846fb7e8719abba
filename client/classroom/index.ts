/** The classroom page. */
export { default as Classroom } from './Classroom.svelte';
