/**
 * What is executed, as whom, where and with which environment: the image's config and the flags merged as Docker merges
 * them. Source: moby daemon/commit.go `merge`, container/env.go. Pure.
 */
import { HuskError } from '../../../errors.ts';
import type { ImageConfig } from '../../../images/store/contract.ts';
import { DEFAULT_PATH } from './defaults.ts';

type RunConfig = NonNullable<ImageConfig['config']>;

/**
 * An entrypoint drops the image's command too, and `['']`, which is what `--entrypoint ""` means, its entrypoint
 * besides. `[]` drops the image's entrypoint alone: moby counts words before it looks whether there is a list.
 * @throws HuskError `invalid` "no command specified"
 */
export function mergeCommand(
  asked: { entrypoint?: readonly string[]; command?: readonly string[] },
  image: RunConfig,
): { entrypoint: string[]; command: string[]; path: string; args: string[] } {
  let { entrypoint, command = [] } = asked;
  if ((entrypoint ?? []).length === 0 && command.length === 0) command = image.Cmd ?? [];
  entrypoint ??= image.Entrypoint ?? [];
  if (entrypoint.length === 1 && entrypoint[0] === '') entrypoint = [];
  const all = [...entrypoint, ...command];
  if (all.length === 0) throw new HuskError('no command specified', { kind: 'invalid' });
  return { entrypoint: [...entrypoint], command: [...command], path: all[0]!, args: all.slice(1) };
}

/** `docker inspect`'s `.Config.Env`: what was asked for, then what the image adds. */
export function mergeEnv(asked: readonly string[], image: readonly string[]): string[] {
  const names = new Set(asked.map(envName));
  return [
    ...asked.filter((entry) => entry.includes('=')),
    ...image.filter((entry) => entry.includes('=') && !names.has(envName(entry))),
  ];
}

/**
 * The environment the process gets: PATH, HOSTNAME, TERM with a terminal, then the container's own, each name once.
 * HOME comes from the image's passwd at the `setuser` step.
 * @param more of `exec -e`; an entry without `=` removes the name
 */
export function processEnv(options: {
  env: readonly string[];
  hostname: string;
  terminal: boolean;
  more?: readonly string[];
}): string[] {
  const result = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${options.hostname}`, ...(options.terminal ? ['TERM=xterm'] : [])];
  for (const entry of [...options.env, ...(options.more ?? [])]) {
    const name = envName(entry);
    const index = result.findIndex((known) => envName(known) === name);
    if (!entry.includes('=')) {
      if (index >= 0) result.splice(index, 1);
    } else if (index >= 0) result[index] = entry;
    else result.push(entry);
  }
  return result;
}

function envName(entry: string): string {
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** @throws HuskError `invalid` in Docker's words */
export function workingDirectory(asked: string | undefined, image: RunConfig): string {
  const directory = asked || image.WorkingDir || '/';
  if (!directory.startsWith('/'))
    throw new HuskError(`the working directory '${directory}' is invalid, it needs to be an absolute path`, {
      kind: 'invalid',
    });
  return directory;
}
