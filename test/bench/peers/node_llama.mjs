/**
 * node-llama-cpp, used as its users use it: one context with several sequences, which it batches itself, one async iterator
 * a reply. Answers JSON lines like llama_loop.py; the benchmark copies this file beside the installed package.
 *   {"do": "open", "gguf": path, "threads": 2, "sequences": 30, "context": 512}
 *   {"do": "greedy", "tokens": [ids], "count": n}          -> {"tokens": [ids]}
 *   {"do": "decode", "prompts": [[ids], …], "count": n}    -> {"rate": tokens a second while all of them decode}
 *   {"do": "prefill", "tokens": [ids]}                     -> {"seconds": s}, to the first token
 */
import { createInterface } from 'node:readline';
import { getLlama } from 'node-llama-cpp';

let model;
/** A context for each number of sequences, as a user would size it. */
const contexts = new Map();
let options;

async function sequences(count) {
  let held = contexts.get(count);
  if (!held) {
    const context = await model.createContext({
      sequences: count,
      contextSize: options.context,
      batchSize: Math.max(512, options.context),
      threads: options.threads,
    });
    held = Array.from({ length: count }, () => context.getSequence());
    contexts.set(count, held);
  }
  for (const sequence of held) await sequence.clearHistory();
  return held;
}

/** Tokens of one greedy reply, and when the first and the last of them came. An end token does not end it. */
async function reply(sequence, prompt, count) {
  const tokens = [];
  let first = 0;
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    first ||= performance.now();
    tokens.push(token);
    if (tokens.length === count) break;
  }
  return { tokens, first, last: performance.now() };
}

const answers = {
  async open(request) {
    options = request;
    const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: request.threads });
    model = await llama.loadModel({ modelPath: request.gguf });
    return { system: llama.systemInfo };
  },
  async greedy({ tokens, count }) {
    const [sequence] = await sequences(1);
    return { tokens: (await reply(sequence, tokens, count)).tokens };
  },
  async decode({ prompts, count }) {
    const held = await sequences(prompts.length);
    const replies = await Promise.all(prompts.map((prompt, i) => reply(held[i], prompt, count)));
    const from = Math.max(...replies.map(({ first }) => first));
    const to = Math.min(...replies.map(({ last }) => last));
    return { rate: (prompts.length * (count - 1) * 1000) / Math.max(to - from, 1) };
  },
  async prefill({ tokens }) {
    const [sequence] = await sequences(1);
    const started = performance.now();
    const { first } = await reply(sequence, tokens, 1);
    return { seconds: (first - started) / 1000 };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = await Promise.resolve(answers[request.do](request)).catch((error) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
