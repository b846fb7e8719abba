/**
 * The network written out once more, slowly, in double precision on the dequantised weights: one sequence, no cache, no
 * batching, nothing shared with the engine but the checkpoint. What the engine must reproduce.
 */
import type { Checkpoint } from '../../../../../agent/model/checkpoint.ts';

type Row = Float64Array;

function product(matrix: Float32Array, x: Row): Row {
  const cols = x.length;
  const out = new Float64Array(matrix.length / cols);
  for (let row = 0; row < out.length; row++) {
    let sum = 0;
    for (let col = 0; col < cols; col++) sum += matrix[row * cols + col]! * x[col]!;
    out[row] = sum;
  }
  return out;
}

function norm(x: Row, weight: Float32Array, eps: number): Row {
  let squares = 0;
  for (const value of x) squares += value * value;
  const factor = 1 / Math.sqrt(squares / x.length + eps);
  return x.map((value, i) => value * factor * weight[i]!);
}

function rotate(x: Row, position: number, theta: number): Row {
  const half = x.length / 2;
  return x.map((value, i) => {
    const angle = position * theta ** ((-2 * (i % half)) / x.length);
    const other = i < half ? -x[i + half]! : x[i - half]!;
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

function softmax(x: number[]): number[] {
  const top = Math.max(...x);
  const e = x.map((value) => Math.exp(value - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((value) => value / sum);
}

function dot(a: Row, b: Row): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

/** Final-norm hidden states, one row a token. */
export function hiddenStates(checkpoint: Checkpoint, tokens: ArrayLike<number>): Row[] {
  const c = checkpoint.config;
  const cached = new Map<string, Float32Array>();
  const weights = (name: string) => {
    const found = cached.get(name) ?? checkpoint.float(name).values;
    cached.set(name, found);
    return found;
  };
  const embedding = weights('model.embed_tokens.weight');
  let rows = Array.from(tokens, (token) =>
    Float64Array.from(embedding.subarray(token * c.hidden, (token + 1) * c.hidden)),
  );
  for (let layer = 0; layer < c.layers; layer++) {
    const p = `model.layers.${layer}.`;
    const heads = (x: Row, kind: string, count: number, position: number) =>
      Array.from({ length: count }, (_, h) => {
        const head = x.slice(h * c.headDim, (h + 1) * c.headDim);
        if (kind === 'v') return head;
        return rotate(norm(head, weights(`${p}self_attn.${kind}_norm.weight`), c.rmsEps), position, c.ropeTheta);
      });
    const normed = rows.map((x) => norm(x, weights(`${p}input_layernorm.weight`), c.rmsEps));
    const project = (kind: string, count: number) =>
      normed.map((x, t) => heads(product(weights(`${p}self_attn.${kind}_proj.weight`), x), kind, count, t));
    const q = project('q', c.heads);
    const k = project('k', c.kvHeads);
    const v = project('v', c.kvHeads);
    rows = rows.map((x, t) => {
      const out = new Float64Array(c.heads * c.headDim);
      for (let h = 0; h < c.heads; h++) {
        const kv = Math.floor((h * c.kvHeads) / c.heads);
        const seen = Array.from({ length: t + 1 }, (_, s) => dot(q[t]![h]!, k[s]![kv]!) / Math.sqrt(c.headDim));
        for (const [s, weight] of softmax(seen).entries())
          for (let i = 0; i < c.headDim; i++) out[h * c.headDim + i]! += weight * v[s]![kv]![i]!;
      }
      const y = product(weights(`${p}self_attn.o_proj.weight`), out);
      return x.map((value, i) => value + y[i]!);
    });
    rows = rows.map((x) => {
      const n = norm(x, weights(`${p}post_attention_layernorm.weight`), c.rmsEps);
      const chosen = softmax([...product(weights(`${p}mlp.gate.weight`), n)])
        .map((probability, expert) => ({ probability, expert }))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, c.expertsPerToken);
      const total = chosen.reduce((sum, { probability }) => sum + probability, 0);
      const out = x.slice();
      for (const { probability, expert } of chosen) {
        const e = `${p}mlp.experts.${expert}.`;
        const gate = product(weights(`${e}gate_proj.weight`), n);
        const up = product(weights(`${e}up_proj.weight`), n);
        const inner = gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
        const y = product(weights(`${e}down_proj.weight`), inner);
        for (let i = 0; i < out.length; i++) out[i]! += (probability / total) * y[i]!;
      }
      return out;
    });
  }
  return rows.map((x) => norm(x, weights('model.norm.weight'), c.rmsEps));
}

/** Logits of the last token. */
export function lastLogits(checkpoint: Checkpoint, tokens: ArrayLike<number>): Row {
  const states = hiddenStates(checkpoint, tokens);
  const name = checkpoint.config.tied ? 'model.embed_tokens.weight' : 'lm_head.weight';
  return product(checkpoint.float(name).values, states.at(-1)!);
}
