/**
 * The proxies of Docker's config.json (`proxies.default`) as environment variables of a container or a build, by the
 * rules of docker's client: each in both spellings, unless `-e` names it. Source: docker/cli
 * cli/config/configfile/file.go ParseProxyConfig.
 */
import { clientConfig } from './client-config.ts';
import type { Context } from './grammar/command.ts';

/** variables by their keys in config.json */
const VARIABLES = {
  httpProxy: 'HTTP_PROXY',
  httpsProxy: 'HTTPS_PROXY',
  noProxy: 'NO_PROXY',
  ftpProxy: 'FTP_PROXY',
  allProxy: 'ALL_PROXY',
} as const;

/**
 * @param asked values of `-e` (or `--build-arg`): `NAME=value` or `NAME`
 * @returns `NAME=value`, to be added after these
 */
export function proxyEnvironment(asked: readonly string[], context: Pick<Context, 'env' | 'stderr'>): string[] {
  const names = new Set(asked.map((entry) => entry.split('=')[0]!));
  const proxies = clientConfig(context).proxies?.['default'] ?? {};
  return Object.entries(VARIABLES).flatMap(([key, name]) => {
    const value = Object.hasOwn(proxies, key) ? proxies[key] : undefined;
    if (!value) return [];
    return [name, name.toLowerCase()]
      .filter((spelling) => !names.has(spelling))
      .map((spelling) => `${spelling}=${value}`);
  });
}
