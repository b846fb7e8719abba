/**
 * WebGPU outside a browser: Dawn through the optional `webgpu` package, on Vulkan, Metal or Direct3D 12. A software
 * adapter (SwiftShader, llvmpipe, WARP) computes the same numbers on the CPU, slowly: it opens when asked for by name,
 * reports no GPU, and `auto` passes it by.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ModelError } from '../../types.ts';
import { activate, firstLine, type StartedBackend, unavailable } from './backend.ts';
import { mayHaveGpu } from './device-nodes.ts';

const BACKEND = 'webgpu';
/** The package is optional and its types with it: what is used of WebGPU's interfaces. */
interface Gpu {
  requestAdapter(options: { powerPreference: 'high-performance' }): Promise<Adapter | null>;
}
interface Adapter {
  info: AdapterDescription;
  features: ReadonlySet<string>;
  limits: Record<string, number>;
  requestDevice(descriptor: { requiredFeatures: string[]; requiredLimits: Record<string, number> }): Promise<Device>;
}
interface Device {
  lost: Promise<{ reason: string; message: string }>;
  destroy(): void;
  addEventListener(type: 'uncapturederror', listener: (event: { error: { message: string } }) => void): void;
}
export interface AdapterDescription {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  isFallbackAdapter?: boolean;
}

/** As TensorFlow.js asks for in a browser; WebGPU's defaults are too small for large matrices. */
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupSizeX',
  'maxComputeInvocationsPerWorkgroup',
];
/** Rasterisers that run on the CPU, as drivers name them. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|\bwarp\b|basic render|software/i;

export function isSoftwareAdapter(info: AdapterDescription): boolean {
  const { vendor, architecture, device, description, isFallbackAdapter = false } = info;
  return isFallbackAdapter || SOFTWARE.test([vendor, architecture, device, description].join(' '));
}

export async function startWebgpu(gpuOnly: boolean): Promise<StartedBackend> {
  if (gpuOnly && !mayHaveGpu()) throw unavailable('no GPU device on this machine');
  const gpu = await openDawn();
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw unavailable('WebGPU finds no adapter: no driver for Vulkan, Metal or Direct3D 12');
  const { info } = adapter;
  const software = isSoftwareAdapter(info);
  const words = [info.vendor, info.architecture, info.description].filter(Boolean).join(' ');
  if (gpuOnly && software) throw unavailable(`WebGPU has only a software adapter: ${words}`);

  // Imported before navigator.gpu exists: otherwise it registers a factory that asks for an adapter of its own choice.
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  provideNavigator(gpu);
  const device = await adapter.requestDevice({
    requiredFeatures: [],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]!])),
  });
  let closing = false;
  let failure: string | undefined;
  void device.lost.then(({ message }) => {
    if (!closing) failure ??= `device lost: ${message}`;
  });
  device.addEventListener('uncapturederror', ({ error }) => {
    failure ??= error.message;
  });
  const close = () => {
    closing = true;
    unregister();
    device.destroy();
  };
  try {
    unregister();
    tf.registerBackend(BACKEND, () => {
      type Parameters = ConstructorParameters<typeof WebGPUBackend>;
      return new WebGPUBackend(device as unknown as Parameters[0], info as Parameters[1]);
    });
    await activate(BACKEND);
  } catch (cause) {
    close();
    throw cause instanceof ModelError ? cause : unavailable(`WebGPU did not start: ${firstLine(cause)}`, cause);
  }
  return {
    info: {
      name: 'webgpu',
      device: `WebGPU (${words}${software ? '; software adapter, not a GPU' : ''}, fp32)`,
      gpu: !software,
      threads: 1,
    },
    check() {
      if (failure !== undefined) throw new ModelError('ENGINE_CRASHED', `webgpu: ${firstLine(failure)}`);
    },
    close,
  };
}

function unregister(): void {
  if (tf.findBackendFactory(BACKEND)) tf.removeBackend(BACKEND);
}

/** One Dawn instance a thread: collecting it while a device lives crashes the process. */
let dawn: Promise<Gpu> | undefined;

function openDawn(): Promise<Gpu> {
  dawn ??= loadDawn();
  return dawn;
}

async function loadDawn(): Promise<Gpu> {
  const optional = 'webgpu';
  try {
    const { create, globals } = (await import(optional)) as { create(flags: string[]): Gpu; globals: object };
    // GPUBuffer, GPUBufferUsage and their like: TensorFlow.js expects them where a browser has them.
    for (const [name, value] of Object.entries(Object.getOwnPropertyDescriptors(globals)))
      if (!(name in globalThis)) Object.defineProperty(globalThis, name, value);
    return create([]);
  } catch (cause) {
    dawn = undefined;
    throw unavailable(`the optional package ${optional} does not load: ${firstLine(cause)}`, cause);
  }
}

/** TensorFlow.js looks for `navigator.gpu`. Node 21 and later have a navigator of their own, which stays. */
function provideNavigator(gpu: Gpu): void {
  const scope = globalThis as { navigator?: { gpu?: unknown } };
  if (!scope.navigator) Object.defineProperty(scope, 'navigator', { value: {}, configurable: true, writable: true });
  if (!scope.navigator?.gpu)
    Object.defineProperty(scope.navigator, 'gpu', { value: gpu, configurable: true, enumerable: true });
}
