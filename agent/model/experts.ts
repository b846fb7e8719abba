/**
 * The mixture of experts: route each row to its top-k experts, compute every expert once over all its rows, and mix.
 *
 * FastMoE's idea: count rows an expert, permute them so that an expert's rows lie together, one product an expert,
 * permute back. The obvious loop (every expert over a masked copy of all rows) does experts ÷ top-k times the work.
 * This is for inference; `trainable-experts.ts` is the same with gradients.
 */
import { multiplyEach, type Weight } from './product.ts';

export interface ExpertWeights {
  /** Gate and up side by side, [hidden, 2 × width]. */
  gateUp: Weight;
  /** [width, hidden]. */
  down: Weight;
}
export interface Mixture {
  /** [experts, hidden]. Small, so it is multiplied here in double precision: a rounded router picks other experts. */
  router: Float32Array;
  experts: ExpertWeights[];
  expertsPerToken: number;
  hidden: number;
  width: number;
}
export interface Routing {
  /** Chosen experts, [rows × k], best first. */
  chosen: Int32Array;
  /** Their weights, renormalised to sum 1 for each row, [rows × k]. */
  weights: Float32Array;
}

/** Softmax over all experts, top-k, divided by the sum of the chosen. Equal scores go to the lower expert. */
export function route(x: Float32Array, { router, hidden, expertsPerToken }: Mixture): Routing {
  const experts = router.length / hidden;
  const scores = new Float64Array((x.length / hidden) * experts);
  for (let a = 0, at = 0; a < x.length; a += hidden) {
    for (let b = 0; b < router.length; b += hidden, at++) {
      let score = 0;
      for (let i = 0; i < hidden; i++) score += x[a + i]! * router[b + i]!;
      scores[at] = score;
    }
  }
  return chooseExperts(scores, experts, expertsPerToken);
}

/** The routing of given scores, [rows × experts]. */
export function chooseExperts(all: Float64Array | Float32Array, experts: number, k: number): Routing {
  const rows = all.length / experts;
  const chosen = new Int32Array(rows * k);
  const weights = new Float32Array(rows * k);
  const scores = new Float64Array(experts);
  for (let row = 0; row < rows; row++) {
    scores.set(all.subarray(row * experts, (row + 1) * experts));
    let best = 0;
    let sum = 0;
    for (let slot = 0; slot < k; slot++) {
      let top = 0;
      for (let e = 1; e < experts; e++) if (scores[e]! > scores[top]!) top = e;
      if (slot === 0) best = scores[top]!;
      // The softmax's denominator over all experts cancels when the chosen are renormalised.
      const weight = Math.exp(scores[top]! - best);
      chosen[row * k + slot] = top;
      weights[row * k + slot] = weight;
      sum += weight;
      scores[top] = Number.NEGATIVE_INFINITY;
    }
    for (let slot = 0; slot < k; slot++) weights[row * k + slot]! /= sum;
  }
  return { chosen, weights };
}

/** Counting sort of (row, slot) pairs by expert: `order` holds pair indices, expert e owns order[offsets[e]…offsets[e+1]). */
export function groupByExpert(chosen: Int32Array, experts: number): { order: Int32Array; offsets: Int32Array } {
  const offsets = new Int32Array(experts + 1);
  for (const expert of chosen) offsets[expert + 1]!++;
  for (let e = 0; e < experts; e++) offsets[e + 1]! += offsets[e]!;
  const next = offsets.slice(0, experts);
  const order = new Int32Array(chosen.length);
  for (let pair = 0; pair < chosen.length; pair++) order[next[chosen[pair]!]!++] = pair;
  return { order, offsets };
}

/** x [rows, hidden] → Σ weight · down(silu(gate) · up), [rows, hidden]. */
export async function mix(x: Float32Array, mixture: Mixture): Promise<Float32Array> {
  const { hidden, width, experts, expertsPerToken: k } = mixture;
  const { chosen, weights } = route(x, mixture);
  const { order, offsets } = groupByExpert(chosen, experts.length);

  const permuted = new Float32Array(order.length * hidden);
  for (let at = 0; at < order.length; at++) {
    const row = Math.floor(order[at]! / k);
    permuted.set(x.subarray(row * hidden, (row + 1) * hidden), at * hidden);
  }
  const busy = experts.map((_, e) => e).filter((e) => offsets[e + 1]! > offsets[e]!);
  const inner = await multiplyEach(
    busy.map((e) => ({
      rows: permuted.subarray(offsets[e]! * hidden, offsets[e + 1]! * hidden),
      weight: experts[e]!.gateUp,
    })),
  );
  const outer = await multiplyEach(
    busy.map((e, i) => ({ rows: siluGate(inner[i]!, width), weight: experts[e]!.down })),
  );

  const out = new Float32Array(x.length);
  busy.forEach((e, i) => {
    const y = outer[i]!;
    for (let at = offsets[e]!, from = 0; at < offsets[e + 1]!; at++, from += hidden) {
      const pair = order[at]!;
      const weight = weights[pair]!;
      const to = Math.floor(pair / k) * hidden;
      for (let j = 0; j < hidden; j++) out[to + j]! += weight * y[from + j]!;
    }
  });
  return out;
}

/** [rows, gate | up] → silu(gate) · up, [rows, width]. */
export function siluGate(gateUp: Float32Array, width: number): Float32Array {
  const out = new Float32Array(gateUp.length / 2);
  for (let to = 0, from = 0; to < out.length; from += 2 * width) {
    for (let i = 0; i < width; i++, to++) {
      const gate = gateUp[from + i]!;
      out[to] = (gate / (1 + Math.exp(-gate))) * gateUp[from + width + i]!;
    }
  }
  return out;
}
