/**
 * WebGPU without a GPU: SwiftShader, the Vulkan rasteriser inside Chromium, which the tests need anyway. Right numbers,
 * about two seconds for a 512³ product: for tiny shapes only. Call before the first WebGPU adapter is asked for.
 */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';

const ICD = 'vk_swiftshader_icd.json';
const LOADER = 'libvulkan.so.1';
/** RTLD_NODELETE, which Node does not name: the library stays although it is no Node add-on. */
const STAY = 0x1000;

/** Why WebGPU cannot be tested here, or nothing when the software adapter is ready. */
export async function useSoftwareGpu(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'SwiftShader is looked for on Linux only';
  const folder = [dirname(process.env.CHROMIUM_PATH ?? '/'), '/usr/lib/chromium', '/opt/google/chrome'].find(
    (path) => existsSync(join(path, ICD)) && existsSync(join(path, LOADER)),
  );
  if (!folder)
    throw new Error('no SwiftShader: install Chromium (Debian: apt-get install chromium) or set CHROMIUM_PATH');
  process.env.VK_ICD_FILENAMES = join(folder, ICD);
  try {
    // Dawn asks for the Vulkan loader by name only: one that is loaded already is found whatever folder it came from.
    process.dlopen({ exports: {} }, join(folder, LOADER), constants.dlopen.RTLD_LAZY | STAY);
  } catch {
    // Always: it does not register itself as an add-on.
  }
  // The package is optional: on a platform without a build of it there is nothing to test.
  return import('webgpu' as string).then(
    () => undefined,
    (cause) => `webgpu does not load: ${cause}`,
  );
}
