/** What can truthfully be said about a model on another machine. Pure. */
import type { EngineInfo, ModelInfo } from '../types.ts';
import type { Connection } from './connection.ts';
import type { Discovery } from './discover.ts';

export function infoOf(connection: Connection, found: Discovery, loadMs: number): ModelInfo {
  return { checkpoint: checkpointOf(found), engine: engineOf(connection, found), loadMs };
}

/** What is known of weights that lie elsewhere; 0 and '' stand for what the server does not say. */
function checkpointOf({ model, context, parameters, vocabulary }: Discovery): ModelInfo['checkpoint'] {
  // vLLM names a model by the directory it was started with; where another machine keeps its files is its own business.
  const name = /^(?:\/|[A-Za-z]:\\)/.test(model) ? (model.split(/[\\/]/).filter(Boolean).at(-1) ?? model) : model;
  return {
    name,
    version: 'remote',
    directory: '',
    sha256: '',
    parameters,
    activeParameters: 0,
    context,
    vocabulary,
    layers: 0,
    experts: 0,
    expertsPerToken: 0,
  };
}

function engineOf({ host }: Connection, { kind }: Discovery): EngineInfo {
  return { name: 'remote', device: `${kind} at ${host}`, gpu: false, threads: 0 };
}
