/** Rooms, their members and messages: what is stored, in which order, and how it is read back. */
export { annotateMessage, type NewReply, storeMessage, storeRetry } from './messages.ts';
export { type Broadcast, createPublisher, type Publisher, type StoredEvent } from './publish.ts';
export { readHistory, readRoom } from './replay.ts';
export {
  addMember,
  canonicalRoom,
  findByCode,
  listRooms,
  noteMember,
  openRoom,
  rename,
  requireMember,
} from './rooms.ts';
export { storable } from './text.ts';
export { STUDENT } from './view.ts';
