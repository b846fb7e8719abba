/** Replies being made: started, streamed, stopped, resumed, and ended for processes that died. */
export { type Pulse, startPulse } from './pulse.ts';
export { createReplies, type Mind, type Replies } from './replies.ts';
export { type ReplyAddress, readRunning, requestStop } from './store.ts';
