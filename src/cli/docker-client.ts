/**
 * Docker's client configuration (`config.json` in $DOCKER_CONFIG or ~/.docker), as far as the command line itself follows it. A file that
 * cannot be read is told of and passed over, as Docker's client does: no container fails to run because of it. Never writes it.
 */
import { statSync } from 'node:fs';
import { HuskError } from '../errors.ts';
import { dockerConfigFile, readDockerConfig, type DockerConfig } from '../images/registry/credentials.ts';
import type { Context } from './command.ts';
import type { FlagSet } from './grammar/flag-set.ts';

/**
 * `--config` is Docker's folder or husk's file, told apart by what is there. What is not there yet is a folder, as to Docker's client, which
 * `login` makes, unless it is called something.json.
 */
export function isClientConfig(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return !path.endsWith('.json');
  }
}

/** `--detach-keys`, else the client configuration's; only a terminal has keys. */
export function detachKeys(flags: FlagSet, context: Context): string {
  if (flags.string('detach-keys') !== '' || !context.stdin.isTTY) return flags.string('detach-keys');
  const keys = readClientConfig(context)['detachKeys'];
  return typeof keys === 'string' ? keys : '';
}

/** What would send Docker's client to another engine than this machine's own: as a person knows it. */
export function otherEngine(context: Context): string | undefined {
  const { DOCKER_HOST: host, DOCKER_CONTEXT: named } = context.env;
  if (host) return `DOCKER_HOST=${host}`;
  if (named) return named === 'default' ? undefined : `DOCKER_CONTEXT=${named}`;
  const current = readClientConfig(context, { quiet: true })['currentContext'];
  return typeof current !== 'string' || current === '' || current === 'default' ? undefined : `the context ${JSON.stringify(current)}`;
}

function readClientConfig(context: Context, options: { quiet?: boolean } = {}): DockerConfig & Record<string, unknown> {
  try {
    return readDockerConfig(dockerConfigFile(context.env)) as DockerConfig & Record<string, unknown>;
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    if (!options.quiet) context.stderr.write(`WARNING: ${error.message}\n`);
    return {};
  }
}
