/** Pure: folds the events of a running reply into the text so far and the view the page shows. */
import type { Generation, GenerationEvent } from '../protocol.ts';

type Body<E> = E extends unknown ? Omit<E, 'room' | 'generation' | 'message' | 'seq'> : never;
/** A generation event without its address. */
export type ReplyEvent = Body<GenerationEvent>;
export interface NumberedEvent {
  seq: number;
  event: ReplyEvent;
}

export interface ReplyState {
  text: string;
  generation: Generation;
}

export function openReply(id: string, skill: Generation['skill']): ReplyState {
  return {
    text: '',
    generation: { id, status: 'running', lastSeq: 0, skill, checkpoint: '', engine: '', recalled: [] },
  };
}

/** Events at or before the last folded one change nothing, so a replay may overlap what is known. */
export function foldReply(state: ReplyState, { seq, event }: NumberedEvent): ReplyState {
  if (seq <= state.generation.lastSeq) return state;
  const generation = { ...state.generation, lastSeq: seq };
  switch (event.type) {
    case 'start':
      return {
        ...state,
        generation: { ...generation, skill: event.skill, checkpoint: event.checkpoint, engine: event.engine },
      };
    case 'recall':
      return { ...state, generation: { ...generation, recalled: event.facts } };
    case 'delta':
      return { text: state.text + event.text, generation };
    case 'verse':
      return { ...state, generation: { ...generation, verse: event.report } };
    case 'end':
      return {
        text: event.status === 'withheld' ? '' : state.text,
        generation: { ...generation, status: event.status, ...(event.usage && { usage: event.usage }) },
      };
    case 'error':
      return { ...state, generation: { ...generation, status: 'failed', error: event.error } };
  }
}
