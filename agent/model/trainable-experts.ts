/**
 * Grouped experts that can be trained: `experts.ts`'s count → permute → one product an expert → permute back, as one
 * TensorFlow.js operation with its gradient. Not for serving, which needs no gradient and no tensors between products.
 *
 * The permutation is a gather, and because every (row, slot) pair moves exactly once, so is its gradient: with the inverse
 * permutation. TensorFlow.js would use a scatter, which its wasm backend lacks. All gradients are written out here, so
 * that nothing depends on which gradients a backend or a build of TensorFlow.js registers.
 */
import * as tf from '@tensorflow/tfjs-core';
import { chooseExperts, groupByExpert } from './experts.ts';

export interface TrainableExpert {
  /** Gate and up side by side, [hidden, 2 × width]. */
  gateUp: tf.Tensor2D;
  /** [width, hidden]. */
  down: tf.Tensor2D;
  /** Gets no gradient, and none is computed. */
  frozen?: boolean;
}
export interface TrainableMixture {
  /** [hidden, experts]. */
  router: tf.Tensor2D;
  experts: TrainableExpert[];
  expertsPerToken: number;
}
/** Which rows go to which experts: constants of one step, chosen by the scores, which no gradient passes through. */
export interface Dispatch {
  rows: number;
  /** Expert e owns the permuted pairs offsets[e]…offsets[e + 1]. */
  offsets: Int32Array;
  /** Row of each permuted pair, [rows × k]. */
  rowOf: Int32Array;
  /** Place of each (row, slot) pair among the permuted ones, slot by slot, [k × rows]. */
  placeOf: Int32Array;
  /** Place of each (row, expert), or rows × k where the row did not choose it, [rows × experts]. */
  placeOfExpert: Int32Array;
}

/** Reads the router's scores back, so it waits for the device; the rest of a step does not. */
export async function dispatch(x: tf.Tensor2D, { router, expertsPerToken }: TrainableMixture): Promise<Dispatch> {
  const scores = tf.matMul<tf.Tensor2D>(x, router);
  const values = await scores.data<'float32'>();
  scores.dispose();
  return dispatchScores(values, router.shape[1], expertsPerToken);
}

/** From scores [rows × experts]; also for backends and callers that can read them without waiting (`dataSync`). */
export function dispatchScores(scores: Float32Array, experts: number, k: number): Dispatch {
  const { chosen } = chooseExperts(scores, experts, k);
  const { order, offsets } = groupByExpert(chosen, experts);
  const rows = scores.length / experts;
  const rowOf = new Int32Array(order.length);
  const placeOf = new Int32Array(order.length);
  const placeOfExpert = new Int32Array(scores.length).fill(order.length);
  order.forEach((pair, place) => {
    const row = Math.floor(pair / k);
    rowOf[place] = row;
    placeOf[(pair % k) * rows + row] = place;
    placeOfExpert[row * experts + chosen[pair]!] = place;
  });
  return { rows, offsets, rowOf, placeOf, placeOfExpert };
}

/** x [rows, hidden] → Σ weight · down(silu(gate) · up), [rows, hidden]; differentiable in x, router and experts. */
export function mixTrainable(x: tf.Tensor2D, mixture: TrainableMixture, plan: Dispatch): tf.Tensor2D {
  const { experts, router } = mixture;
  const { offsets, rowOf } = plan;
  const count = experts.length;
  const busy = experts.map((_, e) => e).filter((e) => offsets[e + 1]! > offsets[e]!);
  const learning = experts.map((_, e) => e).filter((e) => !experts[e]!.frozen);
  // Rows are gathered expert by expert: the wasm backend's slice copies the whole tensor it takes a part of.
  const rowsOf = (tensor: tf.Tensor, e: number) =>
    tf.gather(tensor as tf.Tensor2D, rowOf.subarray(offsets[e]!, offsets[e + 1]!));

  const forward = (...inputs: unknown[]) => {
    const save = inputs.at(-1) as tf.GradSaveFunc;
    const probabilities = chosenSoftmax(tf.matMul(x, router), plan);
    const inner: tf.Tensor2D[] = [];
    const outer = busy.map((e) => {
      const hidden = product(rowsOf(x, e), experts[e]!.gateUp);
      inner.push(hidden);
      return product(gated(hidden).value, experts[e]!.down);
    });
    const y = tf.concat2d(outer, 0);
    const value = unpermute(tf.mul(y, atPairs(probabilities, plan, 0, count)), plan);
    save([probabilities, y, ...inner]);

    const gradFunc = (dvalue: tf.Tensor, saved: tf.Tensor[]) => {
      const [p, out, ...hiddens] = saved as tf.Tensor2D[];
      const dpairs = tf.gather(dvalue as tf.Tensor2D, rowOf);
      const gradients = new Map<number, { gateUp: tf.Tensor2D; down: tf.Tensor2D }>();
      const drows = busy.map((e, i) => {
        const { gateUp, down, frozen } = experts[e]!;
        const { value: activated, gradient } = gated(hiddens[i]!);
        const dout = tf.mul<tf.Tensor2D>(rowsOf(dvalue, e), atPairs(p!, plan, e, e + 1));
        const dhidden = gradient(timesTransposed(dout, down));
        if (!frozen)
          gradients.set(e, {
            gateUp: product(tf.transpose(rowsOf(x, e)), dhidden),
            down: product(tf.transpose(activated), dout),
          });
        return timesTransposed(dhidden, gateUp);
      });
      // Softmax over the chosen: dscore = p · (dp − Σ p · dp), and p is zero elsewhere.
      const dweights = tf.sum(tf.mul(dpairs, out!), 1);
      const dp = tf.reshape(tf.gather(tf.concat([dweights, tf.zeros([1])]), plan.placeOfExpert), [plan.rows, count]);
      const weighted = tf.mul(p!, dp);
      const dscores = tf.sub<tf.Tensor2D>(weighted, tf.mul(p!, tf.sum(weighted, 1, true)));
      const dx = tf.add(unpermute(tf.concat2d(drows, 0), plan), timesTransposed(dscores, router));
      const drouter = product(tf.transpose(x), dscores);
      const dexperts = learning.flatMap((e) => {
        const own = gradients.get(e);
        return own ? [own.gateUp, own.down] : [tf.zerosLike(experts[e]!.gateUp), tf.zerosLike(experts[e]!.down)];
      });
      return [dx, drouter, ...dexperts];
    };
    return { value, gradFunc };
  };
  const inputs = learning.flatMap((e) => [experts[e]!.gateUp, experts[e]!.down]);
  return tf.customGrad(forward as Parameters<typeof tf.customGrad>[0])(x, router, ...inputs) as tf.Tensor2D;
}

function product(a: tf.Tensor, b: tf.Tensor): tf.Tensor2D {
  return tf.matMul<tf.Tensor2D>(a as tf.Tensor2D, b as tf.Tensor2D);
}

/**
 * a · bᵀ as (b · aᵀ)ᵀ: `b` is a weight and `a` a few rows, so the small ones are transposed. A transposed right operand
 * inside the product takes a path ten times slower on wasm.
 */
function timesTransposed(a: tf.Tensor, b: tf.Tensor): tf.Tensor2D {
  return tf.transpose(product(b, tf.transpose(a as tf.Tensor2D)));
}

/** Softmax of the scores over each row's chosen experts, zero for the others, [rows, experts]. */
function chosenSoftmax(scores: tf.Tensor, { rows, placeOfExpert, rowOf }: Dispatch): tf.Tensor2D {
  const experts = placeOfExpert.length / rows;
  const mask = tf.tensor2d(
    Float32Array.from(placeOfExpert, (place) => (place < rowOf.length ? 1 : 0)),
    [rows, experts],
  );
  // The best score is always among the chosen, so subtracting it keeps every exponent in range.
  const powers = tf.mul(tf.exp(tf.sub(scores, tf.max(scores, 1, true))), mask);
  return tf.div<tf.Tensor2D>(powers, tf.sum(powers, 1, true));
}

/** The probability each permuted pair of experts `from` to `to` is weighted by, [pairs, 1]. */
function atPairs(probabilities: tf.Tensor2D, { rowOf, offsets }: Dispatch, from: number, to: number): tf.Tensor2D {
  const experts = probabilities.shape[1];
  const first = offsets[from]!;
  const at = new Int32Array(offsets[to]! - first);
  for (let e = from; e < to; e++)
    for (let i = offsets[e]!; i < offsets[e + 1]!; i++) at[i - first] = rowOf[i]! * experts + e;
  return tf.reshape(tf.gather(tf.reshape(probabilities, [-1]), at), [-1, 1]);
}

/** Sums each row's k pairs: back from permuted order, [rows × k, n] → [rows, n]. */
function unpermute(pairs: tf.Tensor, { rows, placeOf }: Dispatch): tf.Tensor2D {
  const slots = tf.reshape(tf.gather(pairs, placeOf), [-1, rows, pairs.shape[1]!]);
  return tf.sum<tf.Tensor2D>(slots, 0);
}

/** [rows, gate | up] → silu(gate) · up, and the way back for its gradient. */
function gated(gateUp: tf.Tensor2D): { value: tf.Tensor2D; gradient: (dy: tf.Tensor2D) => tf.Tensor2D } {
  const width = gateUp.shape[1] / 2;
  const gate = tf.slice2d(gateUp, [0, 0], [-1, width]);
  const up = tf.slice2d(gateUp, [0, width], [-1, width]);
  const sigmoid = tf.sigmoid(gate);
  const silu = tf.mul(gate, sigmoid);
  return {
    value: tf.mul(silu, up),
    gradient(dy) {
      // silu′ = σ + silu · (1 − σ)
      const slope = tf.add(sigmoid, tf.mul(silu, tf.sub(1, sigmoid)));
      return tf.concat2d([tf.mul<tf.Tensor2D>(tf.mul(dy, up), slope), tf.mul<tf.Tensor2D>(dy, silu)], 1);
    },
  };
}
