/**
 * A deterministic student for tests of the server alone. What it does is asked for in the message itself, so that a test
 * in another process can steer it: `slow` streams for long, `learn` teaches, `verse`, `withhold`, `notice`, `crash`,
 * `hang` ignores Stop. Anything else is echoed.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ModelInfo } from '../../agent/model/index.ts';
import { ModelError } from '../../agent/model/index.ts';
import type { Student, Turn, TurnEvent } from '../../agent/types.ts';
import type { MindParts } from '../../server/main.ts';

/** `slow` replies: this many pieces, this far apart. */
export const SLOW_PIECES = 60;
const SLOW_MS = 50;

export const scriptedInfo: ModelInfo = {
  checkpoint: {
    name: 'scripted',
    version: '1',
    directory: '',
    sha256: '0'.repeat(64),
    parameters: 0,
    activeParameters: 0,
    context: 1_024,
    vocabulary: 0,
    layers: 0,
    experts: 0,
    expertsPerToken: 0,
  },
  engine: { name: 'cpu', device: 'script', gpu: false, threads: 1 },
  loadMs: 0,
};

export const scriptedStudent: Student = { age: 6, turn };

export function scriptedMind(student: Student = scriptedStudent): () => Promise<MindParts> {
  return async () => ({ student, info: scriptedInfo, close: async () => undefined });
}

async function* turn({ message, signal, speaker, history, skill }: Turn): AsyncGenerator<TurnEvent, void, undefined> {
  const { text } = message;
  const fact = {
    id: randomUUID(),
    text,
    teacher: speaker.name,
    saidAt: message.sentAt,
    message: message.id,
  };
  if (text.includes('learn')) yield { type: 'learned', facts: [fact] };
  if (text.includes('notice')) yield { type: 'notice', code: 'SAFETY_DISTRESS' };
  yield { type: 'start', skill: skill ?? 'chat' };
  if (text.includes('crash')) throw new ModelError('ENGINE_CRASHED', 'scripted');
  if (text.includes('recall')) yield { type: 'recall', facts: [fact] };
  const pieces = text.includes('slow')
    ? Array.from({ length: SLOW_PIECES }, (_, index) => `${index} `)
    : [...`回声：${text}${text.includes('history') ? JSON.stringify(history) : ''}`];
  let said = '';
  for (const piece of pieces) {
    if (text.includes('slow')) await sleep(SLOW_MS);
    if (signal.aborted && !text.includes('hang')) break;
    said += piece;
    yield { type: 'delta', text: piece };
  }
  if (text.includes('verse'))
    yield {
      type: 'verse',
      report: { upper: [], lower: [{ char: '天', tone: 'level' }], rules: [{ id: 'length', ok: true }] },
    };
  const status = text.includes('withhold') ? 'withheld' : signal.aborted ? 'stopped' : 'done';
  yield {
    type: 'end',
    status,
    text: status === 'withheld' ? '' : said,
    usage: { promptTokens: 1, completionTokens: pieces.length, firstTokenMs: 1, totalMs: 2 },
    energy: { joules: 0.5, gco2e: 0.1, measured: false },
  };
}
