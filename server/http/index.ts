/** HTTP: pages, session, rooms, the OpenAI-compatible API, health, metrics. */
export { SESSION_COOKIE } from './api.ts';
export { addRoutes, createApp } from './app.ts';
export { createMetrics, type Metrics } from './metrics.ts';
export { type Calls, createCalls, RESTART_MS } from './openai/index.ts';
export { isOriginAllowed } from './origins.ts';
