/** Where a plugin of Docker's client is. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { dockerConfigFile } from '../../images/registry/credentials.ts';

/** where packages put plugins of Docker's client, docker/cli cli-plugins/manager */
const FOLDERS = [
  '/usr/local/lib/docker/cli-plugins',
  '/usr/local/libexec/docker/cli-plugins',
  '/usr/lib/docker/cli-plugins',
  '/usr/libexec/docker/cli-plugins',
];
/** The user's own plugins go first, as for Docker's client; PATH is last. */
export function findPlugin(program: string, env: NodeJS.ProcessEnv, folders = FOLDERS): string | undefined {
  const own = join(dirname(dockerConfigFile(env)), 'cli-plugins');
  const path = (env['PATH'] ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
  return [own, ...folders, ...path].map((folder) => join(folder, program)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
