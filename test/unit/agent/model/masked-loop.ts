/**
 * The obvious mixture of experts, for comparison only: every expert over every row, rows that did not choose it multiplied
 * by zero. Experts ÷ top-k times the work of grouping. Differentiable like the grouped one, with the same arithmetic.
 */
import * as tf from '@tensorflow/tfjs-core';
import { chooseExperts } from '../../../../agent/model/experts.ts';
import type { TrainableMixture } from '../../../../agent/model/trainable-experts.ts';

/** 1 where the row chose the expert, [rows, experts]. */
export function chosenMask(scores: Float32Array, experts: number, k: number): tf.Tensor2D {
  const rows = scores.length / experts;
  const mask = new Float32Array(scores.length);
  chooseExperts(scores, experts, k).chosen.forEach((expert, pair) => {
    mask[Math.floor(pair / k) * experts + expert] = 1;
  });
  return tf.tensor2d(mask, [rows, experts]);
}

export function maskedLoop(x: tf.Tensor2D, mixture: TrainableMixture, mask: tf.Tensor2D): tf.Tensor2D {
  const { router, experts } = mixture;
  const column = (matrix: tf.Tensor2D, e: number) => tf.slice2d(matrix, [0, e], [-1, 1]);
  const forward = (...inputs: unknown[]) => {
    const save = inputs.at(-1) as tf.GradSaveFunc;
    const scores = tf.matMul<tf.Tensor2D>(x, router);
    const powers = tf.mul(tf.exp(tf.sub(scores, tf.max(scores, 1, true))), mask);
    const p = tf.div<tf.Tensor2D>(powers, tf.sum(powers, 1, true));
    const hiddens: tf.Tensor2D[] = [];
    const outs = experts.map(({ gateUp, down }) => {
      const hidden = tf.matMul<tf.Tensor2D>(x, gateUp);
      hiddens.push(hidden);
      const [gate, up] = tf.split<tf.Tensor2D>(hidden, 2, 1) as [tf.Tensor2D, tf.Tensor2D];
      return tf.matMul<tf.Tensor2D>(tf.mul(tf.mul(gate, tf.sigmoid(gate)), up), down);
    });
    const value = outs.reduce<tf.Tensor>((sum, out, e) => tf.add(sum, tf.mul(out, column(p, e))), tf.zerosLike(x));
    save([p, ...hiddens, ...outs]);
    const gradFunc = (dvalue: tf.Tensor, saved: tf.Tensor[]) => {
      const [weights, ...rest] = saved as tf.Tensor2D[];
      let dx: tf.Tensor = tf.zerosLike(x);
      const dp: tf.Tensor2D[] = [];
      const dexperts = experts.flatMap(({ gateUp, down }, e) => {
        const [gate, up] = tf.split<tf.Tensor2D>(rest[e]!, 2, 1) as [tf.Tensor2D, tf.Tensor2D];
        dp.push(tf.sum(tf.mul(dvalue, rest[experts.length + e]!), 1, true));
        const dout = tf.mul<tf.Tensor2D>(dvalue, column(weights!, e));
        const sigmoid = tf.sigmoid(gate);
        const silu = tf.mul(gate, sigmoid);
        const dactivated = tf.matMul<tf.Tensor2D>(dout, tf.transpose(down));
        const dgate = tf.mul(tf.mul(dactivated, up), tf.add(sigmoid, tf.mul(silu, tf.sub(1, sigmoid))));
        const dhidden = tf.concat2d([dgate as tf.Tensor2D, tf.mul<tf.Tensor2D>(dactivated, silu)], 1);
        dx = tf.add(dx, tf.matMul(dhidden, tf.transpose(gateUp)));
        return [
          tf.matMul<tf.Tensor2D>(tf.transpose(x), dhidden),
          tf.matMul<tf.Tensor2D>(tf.transpose(tf.mul<tf.Tensor2D>(silu, up)), dout),
        ];
      });
      const weighted = tf.mul(weights!, tf.concat2d(dp, 1));
      const dscores = tf.sub<tf.Tensor2D>(weighted, tf.mul(weights!, tf.sum(weighted, 1, true)));
      dx = tf.add(dx, tf.matMul(dscores, tf.transpose(router)));
      return [dx, tf.matMul(tf.transpose(x), dscores), ...dexperts];
    };
    return { value, gradFunc };
  };
  const inputs = experts.flatMap(({ gateUp, down }) => [gateUp, down]);
  return tf.customGrad(forward as Parameters<typeof tf.customGrad>[0])(x, router, ...inputs) as tf.Tensor2D;
}
