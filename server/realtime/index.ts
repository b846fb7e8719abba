/** Live connections: who may connect, what they may send, and how fast. */
export { type ChatServer, createGateway, type Gateway } from './gateway.ts';
export * from './limits.ts';
