/**
 * Socket.IO on the HTTP server: who may connect, and how events reach people in this and other processes. Connection
 * state recovery and client retries stay off: the room's own numbers and the client's outbox do both jobs and survive a
 * restart of the server.
 */
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import { Server } from 'socket.io';
import type { Pool } from '../db/index.ts';
import { AppError, toUserError } from '../errors.ts';
import { findPerson, type Person } from '../people/index.ts';
import { type ClientToServer, LIMITS, type ServerToClient } from '../protocol.ts';
import type { Broadcast } from '../rooms/index.ts';
import { joinProcesses } from './cluster.ts';
import { type ChatSocket, type HandlerParts, handle } from './handlers.ts';

interface BetweenProcesses extends ServerToClient {
  'generation.stop': (generation: string) => void;
}
export type ChatServer = Server<ClientToServer, ServerToClient, BetweenProcesses, { person: Person }>;

export interface Gateway {
  io: ChatServer;
  broadcast: Broadcast;
  /** Starts to accept sockets. Before, nothing of the realtime part answers. */
  open(parts: Omit<HandlerParts, 'stopElsewhere'>): void;
  close(): Promise<void>;
}

/** A phone in a tunnel is given this long before its connection counts as dead. */
const PING_INTERVAL_MS = 20_000;
const PING_TIMEOUT_MS = 15_000;

export function createGateway(
  server: HttpServer,
  options: {
    pool: Pool;
    /** Set with a real PostgreSQL, which several processes may share. */
    databaseUrl?: string;
    /** The session token of a request, from its cookie. */
    tokenOf: (request: IncomingMessage) => string | undefined;
    isAllowed: (request: IncomingMessage) => boolean;
    log: Logger;
  },
): Gateway {
  const { pool, log } = options;
  const io: ChatServer = new Server(server, {
    // A frame beyond this closes the connection; the page keeps what was typed, and its own limit is far below.
    maxHttpBufferSize: LIMITS.frameBytes,
    pingInterval: PING_INTERVAL_MS,
    pingTimeout: PING_TIMEOUT_MS,
    serveClient: false,
    allowRequest: (request, callback) => {
      const allowed = options.isAllowed(request);
      callback(allowed ? null : 'ORIGIN_FORBIDDEN', allowed);
    },
  });
  const leave = options.databaseUrl ? joinProcesses(io, options.databaseUrl, log) : () => undefined;

  io.use(async (socket, next) => {
    try {
      const person = await findPerson(pool, options.tokenOf(socket.request));
      if (!person) throw new AppError('NO_SESSION');
      socket.data.person = person;
      next();
    } catch (error) {
      const refusal = toUserError(error);
      next(Object.assign(new Error(refusal.code), { data: refusal }));
    }
  });

  return {
    io,
    // Own sockets first and at once: the adapter's broadcast would wait for PostgreSQL and lose the order on the way.
    broadcast: {
      room(event) {
        io.local.to(event.room).emit('room.event', event);
        if (options.databaseUrl) io.serverSideEmit('room.event', event);
      },
      generation(event) {
        io.local.to(event.room).emit('generation.event', event);
        if (options.databaseUrl) io.serverSideEmit('generation.event', event);
      },
    },
    open(parts) {
      const stopElsewhere = (generation: string) => {
        if (options.databaseUrl) io.serverSideEmit('generation.stop', generation);
      };
      io.on('room.event', (event) => void io.local.to(event.room).emit('room.event', event));
      io.on('generation.event', (event) => void io.local.to(event.room).emit('generation.event', event));
      io.on('generation.stop', (generation) => parts.replies.stop(generation));
      io.on('connection', (socket) => handle(socket as ChatSocket, { ...parts, stopElsewhere }));
    },
    async close() {
      await io.close();
      leave();
    },
  };
}
