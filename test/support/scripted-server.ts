/** The real server as a process of its own, with the scripted student: for tests that kill processes. */
import { main } from '../../server/main.ts';
import { scriptedMind } from './scripted-student.ts';

await main({ openMind: scriptedMind() });
