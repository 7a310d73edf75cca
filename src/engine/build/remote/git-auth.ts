/**
 * Who asks a server for a repository, by secrets as BuildKit names them: GIT_AUTH_TOKEN and GIT_AUTH_HEADER, with
 * `.HOST` behind it or without. One without a host is for what the command line names: a repository that a Dockerfile
 * names may be anybody's, and gets none but that of its host. It never goes out but by https.
 */
import { HuskError } from '../../../errors.ts';
import type { BuildSecret } from '../../build-contract.ts';
import type { GitAuth } from '../fetch/frames.ts';

/** the user of a token, at those who want one */
const TOKEN_USER = 'x-access-token';

/**
 * @param isCallers whether the command line names the repository
 * @throws HuskError `invalid` for a secret that no header can have
 */
export function gitAuth(repository: string, secrets: readonly BuildSecret[], isCallers: boolean): GitAuth | undefined {
  if (!repository.startsWith('https://')) return undefined;
  const { host, origin } = new URL(repository);
  const value = (id: string): string | undefined => {
    const found =
      secrets.find((secret) => secret.id === `${id}.${host}`) ??
      (isCallers ? secrets.find((secret) => secret.id === id) : undefined);
    if (!found) return undefined;
    const text = Buffer.from(found.value).toString('latin1').trim();
    if (!/^[\x20-\x7e]+$/.test(text))
      throw new HuskError(`secret ${found.id}: it is empty, or has what no header can have`, { kind: 'invalid' });
    return text;
  };
  const header = value('GIT_AUTH_HEADER');
  if (header !== undefined) return { origin: `${origin}/`, header };
  const token = value('GIT_AUTH_TOKEN');
  if (token === undefined) return undefined;
  return { origin: `${origin}/`, header: `basic ${Buffer.from(`${TOKEN_USER}:${token}`).toString('base64')}` };
}
