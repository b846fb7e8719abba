/** What /metrics shows, for Prometheus. Numbers only: no names, no texts, no rooms. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  registry: Registry;
  firstText(ms: number): void;
  ended(status: string, ms: number): void;
}

/** Seconds. From a warm prefix on a good machine to a queue of thirty pupils. */
const FIRST_TEXT_BUCKETS = [0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 15, 60];
const REPLY_BUCKETS = [0.25, 0.5, 1, 2, 5, 10, 30, 60, 120];

export function createMetrics(read: {
  replies: () => number;
  sockets: () => number;
  databaseWaiting: () => number;
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
  return {
    registry,
    firstText: (ms) => first.observe(ms / 1_000),
    ended(status, ms) {
      turns.inc({ status });
      whole.observe(ms / 1_000);
    },
  };
}
