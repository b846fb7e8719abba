/** The remote brain: a model on any OpenAI-compatible server. */
import { ModelError, type ModelOptions } from '../types.ts';
import { connect, type Patience } from './connection.ts';
import { discover } from './discover.ts';
import { RemoteModel } from './model.ts';

export type { Patience } from './connection.ts';
export { RemoteModel } from './model.ts';

/** Throws REMOTE_FAILED, or BUSY. A server that is still starting is waited for. */
export async function openRemote(
  { remote, log = () => {} }: Pick<ModelOptions, 'remote' | 'log'>,
  patience?: Patience,
): Promise<RemoteModel> {
  if (!remote) throw new ModelError('REMOTE_FAILED', 'XIAOHE_REMOTE_URL: is needed when XIAOHE_ENGINE=remote');
  const started = performance.now();
  const connection = connect(remote, patience);
  const found = await discover(connection, remote.model, log, new AbortController().signal);
  return new RemoteModel(connection, found, performance.now() - started, log);
}
