/**
 * Whether this machine can have a GPU at all, by the files Linux drivers make. Asked before a GPU library of several
 * hundred megabytes is loaded only to find none. On other systems the libraries themselves must answer.
 */
import { existsSync, readdirSync } from 'node:fs';

/** NVIDIA's driver, also inside containers; `dxg` is Windows' GPU inside WSL. */
const CUDA_NODES = ['/dev/nvidiactl', '/dev/nvidia0', '/dev/dxg'];
const RENDER_NODES = '/dev/dri';

export function mayHaveCuda(): boolean {
  return process.platform !== 'linux' || CUDA_NODES.some((path) => existsSync(path));
}

export function mayHaveGpu(): boolean {
  if (mayHaveCuda()) return true;
  return existsSync(RENDER_NODES) && readdirSync(RENDER_NODES).some((name) => name.startsWith('renderD'));
}
