/**
 * The proxies of Docker's config.json (`proxies.default`) as environment variables of a container or a build, by the
 * rules of docker's client: both spellings, and what `-e` names is left alone. Source: docker/cli
 * cli/config/configfile/file.go ParseProxyConfig. Never fails for a config that cannot be read: docker warns, and
 * goes on without it.
 */
import { HuskError } from '../errors.ts';
import { dockerConfigFile, readDockerConfig } from '../images/registry/credentials.ts';
import type { Context } from './command.ts';
import { printable } from './output/printable.ts';

/** key of config.json → variable */
const VARIABLES = {
  httpProxy: 'HTTP_PROXY',
  httpsProxy: 'HTTPS_PROXY',
  noProxy: 'NO_PROXY',
  ftpProxy: 'FTP_PROXY',
  allProxy: 'ALL_PROXY',
} as const;

/**
 * @param asked of `-e` (or `--build-arg`): `NAME=value` or `NAME`
 * @returns `NAME=value`, to be added behind them
 */
export function proxyEnvironment(asked: readonly string[], context: Pick<Context, 'env' | 'stderr'>): string[] {
  const names = new Set(asked.map((entry) => entry.split('=')[0]!));
  const proxies = defaultProxies(context);
  return Object.entries(VARIABLES).flatMap(([key, name]) => {
    const value = Object.hasOwn(proxies, key) ? proxies[key] : undefined;
    if (value === undefined || value === '') return [];
    return [name, name.toLowerCase()]
      .filter((spelling) => !names.has(spelling))
      .map((spelling) => `${spelling}=${value}`);
  });
}

function defaultProxies(context: Pick<Context, 'env' | 'stderr'>): Record<string, string> {
  const warn = (why: string): Record<string, string> => {
    context.stderr.write(`WARNING: Error loading config file: ${printable(why, context.stderr)}\n`);
    return {};
  };
  try {
    const file = dockerConfigFile(context.env);
    const proxies: unknown = readDockerConfig(file).proxies?.['default'];
    if (proxies === undefined || proxies === null) return {};
    if (typeof proxies !== 'object' || Object.values(proxies).some((value) => typeof value !== 'string'))
      return warn(`${file}: "proxies" has what is no text`);
    return proxies as Record<string, string>;
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    return warn(error.message);
  }
}
