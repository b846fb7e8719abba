/** The chat room and the connection behind it. */
export { enterRoom, listRooms, openRoom } from './api.ts';
export { default as ChatRoom } from './ChatRoom.svelte';
export { default as ConnectionStatus } from './ConnectionStatus.svelte';
export { connection } from './connection.svelte.ts';
