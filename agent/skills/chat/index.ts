/** Plain talk. */
export { talk } from './reply.ts';
