/**
 * From the codec's config.json, a list of layers, to a function on planes. Every layer is checked against the plane it will
 * get and against the tensors there are, so that a broken directory is refused when it is opened.
 */
import { z } from 'zod';
import { ModelError } from '../types.ts';
import { add, convolve, type Norm, normalise, type Plane, packKernel, shuffle, silu, unshuffle } from './layers.ts';

const size = z.int().min(1).max(1_024);
export const Layer = z.union([
  z.tuple([z.literal('conv'), size, size, z.literal([1, 3]), z.literal([1, 2])]),
  z.tuple([z.literal('residual'), size]),
  z.tuple([z.literal('norm'), size]),
  z.tuple([z.literal('silu')]),
  z.tuple([z.literal('shuffle'), size]),
  z.tuple([z.literal('unshuffle'), size]),
]);
export type Layer = z.infer<typeof Layer>;

/** What flows between layers, without its values. */
export interface Extent {
  side: number;
  channels: number;
}
export interface Weights {
  /** Throws CHECKPOINT_BROKEN when the tensor is missing or has another number of values. */
  tensor(name: string, length: number): Float64Array;
  groups: number;
  epsilon: number;
}
export type Step = (plane: Plane) => Plane;

/** Compiles a list of layers; `name` is the prefix of its tensors. Throws CHECKPOINT_UNSUPPORTED and CHECKPOINT_BROKEN. */
export function compile(name: string, layers: Layer[], from: Extent, to: Extent, weights: Weights): Step {
  let extent = from;
  const steps = layers.map((layer, index) => {
    const [step, next] = compileLayer(`${name}.${index}`, layer, extent, weights);
    extent = next;
    return step;
  });
  if (extent.side !== to.side || extent.channels !== to.channels) {
    const words = ({ side, channels }: Extent) => `${side}×${side}×${channels}`;
    unsupported(name, `makes ${words(extent)} out of ${words(from)}, not ${words(to)}`);
  }
  return (plane) => steps.reduce((value, step) => step(value), plane);
}

function compileLayer(name: string, layer: Layer, extent: Extent, weights: Weights): [Step, Extent] {
  const { side, channels } = extent;
  const expects = (wanted: number) => {
    if (wanted !== channels) unsupported(name, `expects ${wanted} channels and gets ${channels}`);
  };
  switch (layer[0]) {
    case 'conv': {
      const [, inputs, outputs, kernel, stride] = layer;
      expects(inputs);
      return [
        conv(name, { inputs, outputs, size: kernel, stride }, side, weights),
        { side: side / stride, channels: outputs },
      ];
    }
    case 'residual': {
      expects(layer[1]);
      const shape = { inputs: channels, outputs: channels, size: 3, stride: 1 };
      const norms = [norm(`${name}.norm1`, channels, weights), norm(`${name}.norm2`, channels, weights)] as const;
      const convs = [conv(`${name}.conv1`, shape, side, weights), conv(`${name}.conv2`, shape, side, weights)] as const;
      return [(x) => add(x, convs[1](silu(normalise(convs[0](silu(normalise(x, norms[0]))), norms[1])))), extent];
    }
    case 'norm': {
      expects(layer[1]);
      const numbers = norm(name, channels, weights);
      return [(x) => normalise(x, numbers), extent];
    }
    case 'silu':
      return [silu, extent];
    case 'shuffle': {
      const r = layer[1];
      if (channels % (r * r) !== 0) unsupported(name, `${channels} channels do not make squares of ${r}`);
      return [(x) => shuffle(x, r), { side: side * r, channels: channels / (r * r) }];
    }
    case 'unshuffle': {
      const r = layer[1];
      if (side % r !== 0) unsupported(name, `a side of ${side} does not divide by ${r}`);
      return [(x) => unshuffle(x, r), { side: side / r, channels: channels * r * r }];
    }
  }
}

type Shape = { inputs: number; outputs: number; size: number; stride: number };

function conv(name: string, shape: Shape, side: number, weights: Weights): Step {
  if (shape.outputs % 4 !== 0) unsupported(name, `${shape.outputs} output channels do not divide by 4`);
  if (side % (2 * shape.stride) !== 0) unsupported(name, `cannot halve a side of ${side}`);
  const kernel = packKernel(
    shape,
    weights.tensor(`${name}.weight`, shape.outputs * shape.inputs * shape.size ** 2),
    weights.tensor(`${name}.bias`, shape.outputs),
  );
  return (x) => convolve(x, kernel);
}

function norm(name: string, channels: number, { tensor, groups, epsilon }: Weights): Norm {
  if (channels % groups !== 0) unsupported(name, `${channels} channels do not make ${groups} groups`);
  return { groups, epsilon, scale: tensor(`${name}.weight`, channels), shift: tensor(`${name}.bias`, channels) };
}

function unsupported(name: string, reason: string): never {
  throw new ModelError('CHECKPOINT_UNSUPPORTED', `codec layer ${name}: ${reason}`);
}
