/** `husk logout` */
import { eraseCredentials } from '../../images/registry/credential-store.ts';
import type { Invocation } from '../grammar/command.ts';
import { registryHost } from '../../images/registry/registry-host.ts';

export async function run({ arguments: [server], context }: Invocation): Promise<number> {
  const host = registryHost(server);
  const found = await eraseCredentials(host, context.env);
  context.stdout.write(found ? `Removing login credentials for ${host}\n` : `Not logged in to ${host}\n`);
  return 0;
}
