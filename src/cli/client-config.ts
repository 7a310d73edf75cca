/**
 * Docker's client configuration (`config.json` in $DOCKER_CONFIG or ~/.docker), as far as the command line follows it.
 * A file that cannot be read, or that says what it may not, is told of once a command and passed over, as Docker's
 * client does: no command fails because of it. Credentials are read elsewhere (images/registry/credentials.ts), when a
 * registry asks. Never writes the file.
 */
import { statSync } from 'node:fs';
import { HuskError } from '../errors.ts';
import { dockerConfigFile, readDockerConfig } from '../images/registry/credentials.ts';
import type { Context } from './grammar/command.ts';
import type { FlagSet } from './grammar/flag-set.ts';
import { printable } from './output/printable.ts';

/** docker/cli cli/config/configfile/file.go */
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

/** Read once a command: it would be warned of as often as it is read. */
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

/**
 * The formats that the configuration gives lists where no `--format` is typed. @returns an empty text where there is
 * none
 */
export function configuredFormat(
  key: Extract<keyof ClientConfig, `${string}Format`>,
  context: Pick<Context, 'env' | 'stderr'>,
): string {
  return clientConfig(context)[key] ?? '';
}

/** `--detach-keys`, else the configuration's; only a terminal has keys. */
export function detachKeys(flags: FlagSet, context: Context): string {
  if (flags.string('detach-keys') !== '' || !context.stdin.isTTY) return flags.string('detach-keys');
  return clientConfig(context).detachKeys ?? '';
}

/** What would send Docker's client to another engine than this machine's own: as a person knows it. */
export function otherEngine(context: Context): string | undefined {
  const { DOCKER_HOST: host, DOCKER_CONTEXT: named } = context.env;
  const current = clientConfig(context).currentContext;
  if (host) return `DOCKER_HOST=${host}`;
  if (named) return named === 'default' ? undefined : `DOCKER_CONTEXT=${named}`;
  return !current || current === 'default' ? undefined : `the context ${JSON.stringify(current)}`;
}

/**
 * `--config` is Docker's folder or husk's file, told apart by what is there. What is not there yet is a folder, as to
 * Docker's client, which `login` makes, unless it is called something.json.
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

// to Go null is a field that is not there
const isText = (value: unknown): value is string | null | undefined =>
  value === undefined || value === null || typeof value === 'string';
const isObject = (value: unknown): value is object | null | undefined =>
  value === undefined || (typeof value === 'object' && !Array.isArray(value));
