/** `RUN --mount` with its paths and its origin settled. */
import { posix } from 'node:path';
import { HuskError } from '../../../errors.ts';
import { goQuote } from '../../../notation/quoting.ts';
import { sourcePath } from '../dockerfile/source-path.ts';
import type { Graph, GraphStage } from './graph.ts';
import { readMount, type WrittenMount } from '../dockerfile/mounts.ts';
import type { RunMount } from '../operations.ts';

/** modes where none is given; Docker's */
const SECRET_MODE = 0o400;
const SSH_MODE = 0o600;
/** folder of secrets without a target */
const SECRETS = '/run/secrets';

/**
 * Plans a mount.
 * @param text the flag's value
 * @param word expands a value
 * @param cwd WORKDIR, which relative targets are below
 * @throws HuskError
 */
export function planMount(
  text: string,
  word: (text: string) => string,
  cwd: string,
  graph: Graph,
  stage: GraphStage,
): RunMount {
  const mount = readMount(text, word);
  if (mount.type === 'secret') return secret(mount, cwd);
  if (mount.type === 'ssh') return ssh(mount, cwd);
  const target = posix.resolve('/', cwd, mount.target);
  if (target === '/') throw new HuskError(`invalid mount target ${goQuote(target)}`, { kind: 'invalid' });
  if (mount.type === 'tmpfs') return { type: 'tmpfs', target, ...given(mount, ['size', 'readOnly']) };
  // A cache from nothing is a cache without a seed.
  const isSeedless = mount.type === 'cache' && (mount.from === '' || mount.from === 'scratch');
  const from =
    mount.from === ''
      ? ({ kind: 'context' } as const)
      : isSeedless
        ? undefined
        : graph.origin(mount.from, stage, 'mount');
  const source = sourcePath(mount.source);
  if (mount.type === 'bind') return { type: 'bind', target, from, source, readOnly: mount.readOnly ?? true };
  return {
    type: 'cache',
    target,
    // Without an id the cleaned target is it: `cached/` and `/cached` are one cache.
    id: mount.id || target,
    sharing: mount.sharing ?? 'shared',
    readOnly: mount.readOnly ?? false,
    ...(isSeedless ? {} : { from, source }),
    ...given(mount, ['mode', 'uid', 'gid']),
  };
}

function secret(mount: WrittenMount, cwd: string): RunMount {
  const id = mount.source || mount.id || posix.basename(mount.target);
  if (id === '') throw new HuskError('invalid secret mount. one of source, target required', { kind: 'invalid' });
  // A secret that is a variable is a file too only where a target says so.
  const hasFile = mount.env === undefined || mount.target !== '';
  const target = hasFile ? posix.resolve('/', cwd, mount.target || `${SECRETS}/${posix.basename(id)}`) : '';
  if (target === '/') throw new HuskError(`invalid mount target ${goQuote(target)}`, { kind: 'invalid' });
  return {
    type: 'secret',
    target,
    id,
    required: mount.required ?? false,
    mode: mount.mode ?? SECRET_MODE,
    ...given(mount, ['env', 'uid', 'gid']),
  };
}

function ssh(mount: WrittenMount, cwd: string): RunMount {
  const target = mount.target === '' ? '' : posix.resolve('/', cwd, mount.target);
  return {
    type: 'ssh',
    target,
    id: mount.id || 'default',
    required: mount.required ?? false,
    mode: mount.mode ?? SSH_MODE,
    ...given(mount, ['uid', 'gid']),
  };
}

function given<K extends keyof WrittenMount>(mount: WrittenMount, keys: readonly K[]): Partial<Pick<WrittenMount, K>> {
  const result: Partial<Pick<WrittenMount, K>> = {};
  for (const key of keys) if (mount[key] !== undefined) result[key] = mount[key];
  return result;
}
