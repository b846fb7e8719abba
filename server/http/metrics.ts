/** What /metrics shows, for Prometheus. Numbers only: no names, no texts, no rooms. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { GenerationUsage } from '../../agent/model/index.ts';

export interface Metrics {
  registry: Registry;
  firstText(ms: number): void;
  ended(status: string, ms: number): void;
  /** `url` is the route's pattern, never what was asked for. */
  apiRequest(url: string, status: number, ms: number): void;
  /** Tokens of one reply the API asked for. */
  apiTokens(usage: GenerationUsage): void;
}

/** Seconds. From a warm prefix on a good machine to a queue of thirty pupils. */
const FIRST_TEXT_BUCKETS = [0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 15, 60];
const REPLY_BUCKETS = [0.25, 0.5, 1, 2, 5, 10, 30, 60, 120];

export function createMetrics(read: {
  replies: () => number;
  sockets: () => number;
  databaseWaiting: () => number;
  apiCalls: () => number;
}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  // Includes the event loop's lag, which is how a blocking call would show.
  collectDefaultMetrics({ register: registry });
  const turns = new Counter({
    name: 'xiaohe_turns_total',
    help: 'Replies by how they ended',
    labelNames: ['status'],
    registers,
  });
  const first = new Histogram({
    name: 'xiaohe_first_text_seconds',
    help: 'From the stored message to the first text of its reply, waiting included',
    buckets: FIRST_TEXT_BUCKETS,
    registers,
  });
  const whole = new Histogram({
    name: 'xiaohe_reply_seconds',
    help: 'From the stored message to the end of its reply',
    buckets: REPLY_BUCKETS,
    registers,
  });
  const requests = new Counter({
    name: 'xiaohe_api_requests_total',
    help: 'Requests to the OpenAI-compatible API by route and status; 499 when the client left',
    labelNames: ['url', 'status'],
    registers,
  });
  const request = new Histogram({
    name: 'xiaohe_api_request_seconds',
    help: 'From a request to the end of its response',
    labelNames: ['url'],
    buckets: REPLY_BUCKETS,
    registers,
  });
  const tokens = new Counter({
    name: 'xiaohe_api_tokens_total',
    help: 'Tokens the OpenAI-compatible API read (prompt; of those cached) and wrote (completion)',
    labelNames: ['kind'],
    registers,
  });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge('xiaohe_replies_active', 'Replies running or waiting in this process', read.replies);
  gauge('xiaohe_sockets', 'Connected sockets', read.sockets);
  gauge('xiaohe_database_waiting', 'Queries waiting for a connection', read.databaseWaiting);
  gauge('xiaohe_api_calls_active', 'Calls of the OpenAI-compatible API under way', read.apiCalls);
  return {
    registry,
    firstText: (ms) => first.observe(ms / 1_000),
    ended(status, ms) {
      turns.inc({ status });
      whole.observe(ms / 1_000);
    },
    apiRequest(url, status, ms) {
      requests.inc({ url, status });
      request.observe({ url }, ms / 1_000);
    },
    apiTokens({ promptTokens, cachedTokens, completionTokens }) {
      tokens.inc({ kind: 'prompt' }, promptTokens);
      tokens.inc({ kind: 'cached' }, cachedTokens);
      tokens.inc({ kind: 'completion' }, completionTokens);
    },
  };
}
