/**
 * Choosing the next token from logits: repetition penalty, temperature, top-k, top-p, min-p, in Hugging Face's order,
 * and a seeded source of chance. Pure but for the random source it is given.
 */
import type { Sampling } from './types.ts';

export interface Choice {
  token: number;
  /** Natural log of the model's own probability, before penalty, temperature, cuts and masks. */
  logprob: number;
}

export interface Mask {
  /** Only these, when given. */
  allowed?: readonly number[];
  /** None of these. Ignored where `allowed` is given. */
  banned?: readonly number[];
  /** Tokens of the reply so far, for the repetition penalty. */
  used: ReadonlySet<number>;
}

/** `random` yields numbers in [0, 1); greedy sampling never calls it. */
export function sample(logits: Float32Array, sampling: Sampling, mask: Mask, random: () => number): Choice {
  const scores = maskedScores(logits, sampling.repetitionPenalty, mask);
  const best = argmax(scores);
  // Not a `ModelError`: the engine or a mask is wrong, and nothing it says can be trusted.
  if (!Number.isFinite(scores[best]!)) throw new Error('no token has a finite score');
  const token = sampling.temperature > 0 ? draw(scores, best, sampling, random) : best;
  return { token, logprob: logits[token]! - logSumExp(logits) };
}

function maskedScores(logits: Float32Array, penalty: number, { allowed, banned, used }: Mask): Float32Array {
  let scores: Float32Array;
  if (allowed) {
    scores = new Float32Array(logits.length).fill(Number.NEGATIVE_INFINITY);
    for (const token of allowed) scores[token] = logits[token]!;
  } else {
    scores = logits.slice();
    for (const token of banned ?? []) scores[token] = Number.NEGATIVE_INFINITY;
  }
  if (penalty !== 1) {
    for (const token of used) {
      const score = scores[token]!;
      scores[token] = score > 0 ? score / penalty : score * penalty;
    }
  }
  return scores;
}

interface Candidate {
  token: number;
  /** Its probability relative to the best token's. */
  weight: number;
}

function draw(scores: Float32Array, best: number, sampling: Sampling, random: () => number): number {
  const { temperature, topK, topP, minP } = sampling;
  const weigh = (token: number) => expMinus((scores[best]! - scores[token]!) / temperature);
  let candidates: Candidate[];
  if (topK > 0 && topK < scores.length) {
    candidates = largest(scores, topK).map((token) => ({ token, weight: weigh(token) }));
    if (topP < 1) candidates = nucleus(candidates, topP * total(candidates));
  } else {
    let sum = 0;
    for (let token = 0; token < scores.length; token++) sum += weigh(token);
    // Tokens lighter than the mean of what top-p leaves out weigh less than that together: none of them is needed.
    const floor = ((1 - topP) * sum) / scores.length;
    candidates = [];
    for (let token = 0; token < scores.length; token++) {
      const weight = weigh(token);
      if (weight > 0 && weight >= floor) candidates.push({ token, weight });
    }
    if (topP < 1) candidates = nucleus(candidates, topP * sum);
  }
  if (minP > 0) candidates = candidates.filter(({ weight }) => weight >= minP);

  let left = random() * total(candidates);
  for (const { token, weight } of candidates) {
    left -= weight;
    if (left < 0) return token;
  }
  return best;
}

function total(candidates: Candidate[]): number {
  let sum = 0;
  for (const { weight } of candidates) sum += weight;
  return sum;
}

/** The fewest heaviest candidates whose weights reach `mass`. */
function nucleus(candidates: Candidate[], mass: number): Candidate[] {
  const sorted = candidates.sort((a, b) => b.weight - a.weight || a.token - b.token);
  let sum = 0;
  const end = sorted.findIndex(({ weight }) => {
    sum += weight;
    return sum >= mass;
  });
  return end < 0 ? sorted : sorted.slice(0, end + 1);
}

/** The `count` best tokens, best first; equal scores keep the lower id. */
function largest(scores: Float32Array, count: number): number[] {
  const top: number[] = [];
  for (let token = 0; token < scores.length; token++) {
    const score = scores[token]!;
    if (top.length === count && score <= scores[top[count - 1]!]!) continue;
    if (score === Number.NEGATIVE_INFINITY) continue;
    if (top.length === count) top.pop();
    let at = top.length;
    while (at > 0 && scores[top[at - 1]!]! < score) at--;
    top.splice(at, 0, token);
  }
  return top;
}

function argmax(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

function logSumExp(logits: Float32Array): number {
  const max = logits[argmax(logits)]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += expMinus(max - logits[i]!);
  return max + Math.log(sum);
}

/** Table steps per unit, and the exponent beyond which e^−x counts as 0 (the whole vocabulary there weighs under 1e-9). */
const STEPS = 64;
const FAR = 32;
const TABLE = Float64Array.from({ length: STEPS * FAR }, (_, i) => Math.exp(-i / STEPS));

/** e^−x for x ≥ 0 to 3e-9, nine times as fast as `Math.exp`, which over a vocabulary costs a good part of a step. */
function expMinus(x: number): number {
  const step = x * STEPS;
  if (!(step < TABLE.length)) return 0;
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
