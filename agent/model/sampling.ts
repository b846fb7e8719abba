/**
 * Choosing the next token from logits: repetition penalty, temperature, top-k, top-p, min-p, in Hugging Face's order,
 * and a seeded source of chance. Pure but for the random source it is given.
 */
import { ModelError, type Sampling } from './types.ts';

export interface Choice {
  token: number;
  /** Natural log of the model's own probability, before penalty, temperature, cuts and masks. */
  logprob: number;
}

/** Tokens from `from` up to, not including, `to`. */
export interface Span {
  from: number;
  to: number;
}

export interface Mask {
  /** Only these, when given. */
  allowed?: ArrayLike<number>;
  /** Only these spans, ascending; absent: all. Ignored where `allowed` is given. */
  speakable?: readonly Span[];
  /** Tokens of the reply so far, for the repetition penalty. */
  used: ReadonlySet<number>;
}

/** The vocabulary without these tokens, as few spans as there can be. */
export function spansWithout(tokens: Iterable<number>, vocabulary: number): Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (const token of [...new Set(tokens)].sort((a, b) => a - b)) {
    if (token >= vocabulary) break;
    if (token > from) spans.push({ from, to: token });
    from = token + 1;
  }
  if (from < vocabulary) spans.push({ from, to: vocabulary });
  return spans;
}

/**
 * `random` yields numbers in [0, 1); greedy sampling never calls it. `total` is log Σ eˣ of the logits, where it is known. While it runs, `logits` hold penalised scores.
 * Throws ENGINE_CRASHED when they are not all numbers: what computed them cannot be trusted.
 */
export function sample(
  logits: Float32Array,
  sampling: Sampling,
  mask: Mask,
  random: () => number,
  total = logSumExp(logits),
): Choice {
  if (!Number.isFinite(total)) throw new ModelError('ENGINE_CRASHED', 'the logits are not finite numbers');
  const { used } = mask;
  const unpenalised = sampling.repetitionPenalty === 1 ? undefined : penalise(logits, used, sampling.repetitionPenalty);
  const scores = mask.allowed ? gather(logits, mask.allowed) : logits;
  const spans = mask.allowed ? [{ from: 0, to: scores.length }] : (mask.speakable ?? [{ from: 0, to: logits.length }]);
  const greedy = sampling.temperature <= 0;
  const at = greedy ? largest(scores, spans, 1)[0]! : draw(scores, spans, sampling, random);
  if (unpenalised) for (const [id, score] of unpenalised) logits[id] = score;
  const token = mask.allowed ? mask.allowed[at]! : at;
  return { token, logprob: logits[token]! - total };
}

/** The `count` likeliest tokens of the model's own distribution, likeliest first. */
export function likeliest(logits: Float32Array, count: number, total = logSumExp(logits)): Choice[] {
  const best = largest(logits, [{ from: 0, to: logits.length }], count);
  return Array.from(best, (token) => ({ token, logprob: logits[token]! - total }));
}

/** Writes the penalised scores into `logits` and returns what stood there. */
function penalise(logits: Float32Array, used: ReadonlySet<number>, penalty: number): [number, number][] {
  const before: [number, number][] = [];
  for (const token of used) {
    const score = logits[token]!;
    before.push([token, score]);
    logits[token] = score > 0 ? score / penalty : score * penalty;
  }
  return before;
}

function gather(logits: Float32Array, allowed: ArrayLike<number>): Float32Array {
  const scores = new Float32Array(allowed.length);
  for (let i = 0; i < scores.length; i++) scores[i] = logits[allowed[i]!]!;
  return scores;
}

/** Tokens that may be drawn, heaviest first where top-k or top-p cuts, with their probabilities relative to the best one's. */
interface Candidates {
  tokens: ArrayLike<number>;
  weights: Float64Array;
  count: number;
}

function draw(scores: Float32Array, spans: readonly Span[], sampling: Sampling, random: () => number): number {
  const cut = sampling.topK > 0 && sampling.topK < scores.length;
  const { tokens, weights, count } = cut ? best(scores, spans, sampling) : all(scores, spans, sampling);
  let left = random() * sumOf(weights, count);
  for (let i = 0; i < count; i++) {
    left -= weights[i]!;
    if (left < 0) return tokens[i]!;
  }
  return tokens[0]!;
}

function best(scores: Float32Array, spans: readonly Span[], { temperature, topK, topP, minP }: Sampling): Candidates {
  const tokens = largest(scores, spans, topK);
  const top = scores[tokens[0]!]!;
  const weights = Float64Array.from(tokens, (token) => expMinus((top - scores[token]!) / temperature));
  let count = topP < 1 ? nucleus(weights, tokens.length, topP * sumOf(weights, tokens.length)) : tokens.length;
  while (count > 1 && weights[count - 1]! < minP) count--;
  return { tokens, weights, count };
}

/** Without a top-k; sorted only where top-p needs it. */
function all(scores: Float32Array, spans: readonly Span[], { temperature, topP, minP }: Sampling): Candidates {
  const first = largest(scores, spans, 1)[0]!;
  const top = scores[first]!;
  let sum = 0;
  for (const { from, to } of spans)
    for (let token = from; token < to; token++) sum += expMinus((top - scores[token]!) / temperature);
  // Tokens lighter than the mean of what top-p leaves out weigh less than that together: none of them is needed.
  const floor = Math.max(minP, ((1 - topP) * sum) / scores.length);
  const kept: { token: number; weight: number }[] = [];
  for (const { from, to } of spans) {
    for (let token = from; token < to; token++) {
      const weight = expMinus((top - scores[token]!) / temperature);
      if (weight > 0 && weight >= floor) kept.push({ token, weight });
    }
  }
  if (topP < 1) kept.sort((a, b) => b.weight - a.weight || a.token - b.token);
  const weights = Float64Array.from(kept, ({ weight }) => weight);
  const count = topP < 1 ? nucleus(weights, kept.length, topP * sum) : kept.length;
  return { tokens: kept.map(({ token }) => token), weights, count };
}

function sumOf(weights: Float64Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += weights[i]!;
  return sum;
}

/** The fewest of the first weights that reach `mass`. */
function nucleus(weights: Float64Array, count: number, mass: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += weights[i]!;
    if (sum >= mass) return i + 1;
  }
  return count;
}

/** The `count` best tokens, best first; equal scores keep the lower id. */
function largest(scores: Float32Array, spans: readonly Span[], count: number): Int32Array {
  const tokens = new Int32Array(count);
  const tops = new Float32Array(count);
  let held = 0;
  // Nothing at or below this gets in.
  let bar = Number.NEGATIVE_INFINITY;
  for (const { from, to } of spans) {
    for (let token = from; token < to; token++) {
      const score = scores[token]!;
      if (!(score > bar)) continue;
      if (held < count) held++;
      let at = held - 1;
      for (; at > 0 && tops[at - 1]! < score; at--) {
        tops[at] = tops[at - 1]!;
        tokens[at] = tokens[at - 1]!;
      }
      tops[at] = score;
      tokens[at] = token;
      if (held === count) bar = tops[count - 1]!;
    }
  }
  return tokens.subarray(0, Math.max(1, held));
}

/**
 * Over the whole vocabulary at every token, so in pairs, which keeps two additions in flight, and to 1e-7. NaN when a
 * logit is NaN or infinitely large.
 */
function logSumExp(logits: Float32Array): number {
  const max = maximum(logits);
  const top = max * STEPS;
  let even = 0;
  let odd = 0;
  for (let i = 0; i < logits.length; i += 2) {
    let x = top - logits[i]! * STEPS;
    let y = i + 1 < logits.length ? top - logits[i + 1]! * STEPS : TABLE.length;
    if (x > LAST_STEP) x = LAST_STEP;
    if (y > LAST_STEP) y = LAST_STEP;
    const j = x | 0;
    const k = y | 0;
    const restX = (x - j) / STEPS;
    const restY = (y - k) / STEPS;
    even += TABLE[j]! * (1 - restX * (1 - restX * 0.5));
    odd += TABLE[k]! * (1 - restY * (1 - restY * 0.5));
  }
  return max + Math.log(even + odd);
}

function maximum(values: Float32Array): number {
  let even = Number.NEGATIVE_INFINITY;
  let odd = Number.NEGATIVE_INFINITY;
  for (let i = 0; i + 1 < values.length; i += 2) {
    if (values[i]! > even) even = values[i]!;
    if (values[i + 1]! > odd) odd = values[i + 1]!;
  }
  return Math.max(even, odd, values.length % 2 ? values[values.length - 1]! : even);
}

/** Table steps per unit, and the exponent beyond which e^−x counts as 0 (the whole vocabulary there weighs under 1e-9). */
const STEPS = 64;
const FAR = 32;
const TABLE = Float64Array.from({ length: STEPS * FAR }, (_, i) => Math.exp(-i / STEPS));
/** Stands for all beyond the table. */
const LAST_STEP = STEPS * FAR - 1;

/** e^−x for x ≥ 0 to 3e-9, NaN for NaN, nine times as fast as `Math.exp`, which over a vocabulary costs a good part of a step. */
function expMinus(x: number): number {
  const step = x * STEPS;
  if (step >= TABLE.length) return 0;
  const index = step | 0;
  const rest = (step - index) / STEPS;
  return TABLE[index]! * (1 - rest * (1 - rest * (0.5 - rest / 6)));
}

/** sfc32 (PractRand's small fast counting generator): uniform in [0, 1), the same sequence for the same seed. */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  let b = Math.floor(seed / 2 ** 32) >>> 0;
  let c = 0x9e3779b9;
  let counter = 1;
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  // Nearby seeds share their first outputs; a dozen rounds pull them apart.
  for (let i = 0; i < 12; i++) next();
  return next;
}
