/** The sockets of agents that a build's steps and fetches may use: the caller's own, or those of agents with keys. */
import { tmpPath } from '../../../state/tmp-folder.ts';
import type { BuildOptions } from '../../build-contract.ts';
import type { EngineContext } from '../../record/context.ts';

/**
 * Keys get an agent of husk's that ends with the build.
 * @returns paths of sockets by id
 */
export async function sshSockets(
  { paths }: EngineContext,
  ssh: BuildOptions['ssh'],
  cleanup: AsyncDisposableStack,
): Promise<Record<string, string>> {
  const sockets: Record<string, string> = {};
  for (const [id, agent] of Object.entries(ssh)) {
    if (typeof agent === 'string') sockets[id] = agent;
    else {
      const [{ serveKeys }, { readSshKey }] = await Promise.all([import('./key-agent.ts'), import('./keys.ts')]);
      const keys = agent.map(({ name, bytes }) => readSshKey(Buffer.from(bytes), name));
      sockets[id] = cleanup.use(await serveKeys(keys, tmpPath(paths, 'half-agent'))).path;
    }
  }
  return sockets;
}
