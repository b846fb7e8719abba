/** Checkpoints for other programs: a GGUF file for llama.cpp, or an ordinary Hugging Face directory. */
export { exportGguf, type GgufOptions } from './gguf.ts';
export { exportHuggingFace, type HuggingFaceDtype, type HuggingFaceOptions } from './hugging-face.ts';
export type { ExportOptions } from './target.ts';
