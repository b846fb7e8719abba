/** HTTP: pages, session, rooms, health, metrics. */
export { SESSION_COOKIE } from './api.ts';
export { addRoutes, createApp } from './app.ts';
export { createMetrics, type Metrics } from './metrics.ts';
export { isOriginAllowed } from './origins.ts';
