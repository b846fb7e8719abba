/**
 * Matrix products on TensorFlow.js: the one thing of the network worth a kernel call. Everything elementwise is done on
 * typed arrays, because a kernel call costs about 30 µs and a single-token step would make hundreds of them.
 */
import * as tf from '@tensorflow/tfjs-core';

/** A weight on the backend as [in, out]: a transposed right operand would take a path ten times slower. */
export type Weight = tf.Tensor2D;

/** Rows stored as [out, in], as checkpoints do, side by side as one weight [in, Σ out]. */
export function uploadWeight(matrices: { shape: number[]; values: Float32Array }[]): Weight {
  const inner = matrices[0]!.shape[1]!;
  const outer = matrices.reduce((sum, matrix) => sum + matrix.shape[0]!, 0);
  const out = new Float32Array(inner * outer);
  let column = 0;
  for (const { shape, values } of matrices) {
    const rows = shape[0]!;
    for (let r = 0; r < rows; r++, column++) {
      for (let i = 0; i < inner; i++) out[i * outer + column] = values[r * inner + i]!;
    }
  }
  return tf.tensor2d(out, [inner, outer]);
}

/** rows [count, in] × weight [in, out] → [count, out]. */
export async function multiply(rows: Float32Array, weight: Weight): Promise<Float32Array> {
  return read(launch(rows, weight));
}

/** rows [count, inner] × right [inner, columns], both fresh; for products of activations. */
export async function multiplyArrays(rows: Float32Array, right: Float32Array, inner: number): Promise<Float32Array> {
  const weight = tf.tensor2d(right, [inner, right.length / inner]);
  const product = await read(launch(rows, weight));
  weight.dispose();
  return product;
}

/** Several products of different weights, all launched before the first is read: a GPU works while the rest queue up. */
export async function multiplyEach(inputs: { rows: Float32Array; weight: Weight }[]): Promise<Float32Array[]> {
  return Promise.all(inputs.map(({ rows, weight }) => launch(rows, weight)).map(read));
}

function launch(rows: Float32Array, weight: Weight): tf.Tensor2D {
  const inner = weight.shape[0];
  const left = tf.tensor2d(rows, [rows.length / inner, inner]);
  const product = tf.matMul<tf.Tensor2D>(left, weight);
  left.dispose();
  return product;
}

async function read(product: tf.Tensor2D): Promise<Float32Array> {
  const values = await product.data<'float32'>();
  product.dispose();
  return values;
}
