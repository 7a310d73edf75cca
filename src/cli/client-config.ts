/**
 * Docker's client configuration (`config.json` in $DOCKER_CONFIG or ~/.docker), as far as the command line follows it.
 * A file that cannot be read, or has invalid values, is reported once per command and then ignored, as by Docker's
 * client: no command fails because of it. Credentials are read elsewhere (images/registry/credentials.ts), when a
 * registry asks for them. This module never writes the file.
 */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HuskError } from '../errors.ts';
import { dockerConfigFile, readDockerConfig } from '../images/registry/credentials.ts';
import { paths } from '../paths.ts';
import type { Context } from './grammar/command.ts';
import type { FlagSet } from './grammar/flag-set.ts';
import { printable } from './output/printable.ts';

/** keys with texts, docker/cli cli/config/configfile/file.go */
const TEXTS = [
  'psFormat',
  'imagesFormat',
  'volumesFormat',
  'statsFormat',
  'networksFormat',
  'detachKeys',
  'currentContext',
] as const;

type ClientConfig = Partial<Record<(typeof TEXTS)[number], string | null>> & {
  proxies?: Record<string, Record<string, string | null> | null> | null;
};

/** The file is read once per command, because each reading could repeat the warning. */
const read = new WeakMap<object, ClientConfig>();

export function clientConfig(context: Pick<Context, 'env' | 'stderr'>): ClientConfig {
  const known = read.get(context);
  if (known) return known;
  let config: ClientConfig = {};
  try {
    config = checked(dockerConfigFile(context.env));
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    context.stderr.write(`WARNING: Error loading config file: ${printable(error.message, context.stderr)}\n`);
  }
  read.set(context, config);
  return config;
}

/** @returns the format that the configuration has for a list without `--format`; empty where it has none */
export function configuredFormat(
  key: Extract<keyof ClientConfig, `${string}Format`>,
  context: Pick<Context, 'env' | 'stderr'>,
): string {
  return clientConfig(context)[key] ?? '';
}

/** @returns `--detach-keys`, else the configuration's; only a terminal has keys */
export function detachKeys(flags: FlagSet, context: Context): string {
  if (flags.string('detach-keys') !== '' || !context.isInteractive) return flags.string('detach-keys');
  return clientConfig(context).detachKeys ?? '';
}

/**
 * @returns the setting that would send Docker's client to another engine than this machine's own, as the user typed it
 */
export function otherEngine(context: Context): string | undefined {
  const { DOCKER_HOST: host, DOCKER_CONTEXT: named } = context.env;
  const current = clientConfig(context).currentContext;
  if (host) return isOwnSocket(host, context.env) ? undefined : `DOCKER_HOST=${host}`;
  if (named) return named === 'default' ? undefined : `DOCKER_CONTEXT=${named}`;
  return !current || current === 'default' ? undefined : `the context ${JSON.stringify(current)}`;
}

/** Decides whether an address of an engine is that of `husk serve`, or of the link that it makes beside it. */
function isOwnSocket(host: string, env: NodeJS.ProcessEnv): boolean {
  const folder = paths({ env }).runtimeDir;
  return [join(folder, 'docker.sock'), join(dirname(folder), 'docker.sock')].some((path) => host === `unix://${path}`);
}

/**
 * Decides whether `--config` is Docker's folder or husk's file, by what is there. A path that does not exist yet is a
 * folder, which `login` makes as Docker's client does, unless it ends in .json.
 */
export function isClientConfig(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return !path.endsWith('.json');
  }
}

function checked(file: string): ClientConfig {
  const config = readDockerConfig(file) as Record<string, unknown>;
  const refuse = (key: string, what: string) => new HuskError(`${file}: ${key} ${what}`, { kind: 'invalid' });
  for (const key of TEXTS) if (!isText(config[key])) throw refuse(key, 'is no text');
  if (!isObject(config['proxies'])) throw refuse('proxies', 'is no object');
  for (const [name, proxy] of Object.entries(config['proxies'] ?? {}))
    if (!isObject(proxy) || !Object.values(proxy ?? {}).every(isText))
      throw refuse(`proxies of ${JSON.stringify(name)}`, 'has what is no text');
  return config as ClientConfig;
}

// Go treats null as a field that is absent.
const isText = (value: unknown): value is string | null | undefined =>
  value === undefined || value === null || typeof value === 'string';
const isObject = (value: unknown): value is object | null | undefined =>
  value === undefined || (typeof value === 'object' && !Array.isArray(value));
