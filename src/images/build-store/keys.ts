/**
 * The key of a step: a digest of all that the step reads, and of nothing else. The same inputs give the same key
 * wherever the context lies, whenever it was written, and on whatever machine. Pure.
 *
 * The parent counts by its chainID, not by its own key: a step that made the same bytes as before ends a miss early.
 */
import { createHash } from 'node:crypto';
import type { RunMount, RunOperation } from '../build/operations.ts';

/** Changes whenever a step of the same operation would give other bytes. */
const FORMAT = 1;

/**
 * @returns the chainID of a stack, as OCI image-spec config.md § Layer ChainID defines it; empty without a layer
 * @param diffIds bottom first
 */
export function chainId(diffIds: readonly string[]): string {
  return diffIds.reduce(
    (chain, diffId) =>
      chain === '' ? diffId : `sha256:${createHash('sha256').update(`${chain} ${diffId}`).digest('hex')}`,
    '',
  );
}

/** What is of the build and part of the key of each of its RUN steps. */
export interface RunSettings {
  isolation: string;
  /** names of `--add-host`; their addresses are no part of the key */
  hostNames: readonly string[];
  shmSize: number | undefined;
  ulimits: readonly { name: string; soft: number; hard: number }[];
}

/** @param inputs of each mount that has a source, by the mount's place: the digest of the source's contents */
export function runKey(
  parent: string,
  operation: RunOperation,
  settings: RunSettings,
  { inputs, epoch }: { inputs: ReadonlyMap<number, string>; epoch: number | undefined },
): string {
  const { argv, env, cwd, user, network, insecure, mounts, files } = operation;
  return digestOf({
    format: FORMAT,
    kind: 'run',
    isolation: settings.isolation,
    parent,
    argv,
    env,
    cwd,
    user,
    network,
    insecure,
    files,
    mounts: mounts.map((mount, index) => mountKey(mount, inputs.get(index))),
    hosts: [...settings.hostNames].sort(),
    shmSize: settings.shmSize ?? 0,
    ulimits: [...settings.ulimits].sort((a, b) => (a.name < b.name ? -1 : 1)),
    epoch: epoch ?? null,
  });
}

/**
 * What of a mount counts. The id of a cache does not: what a cache has is never part of the result. Of secrets and ssh
 * the id does, and the value does not.
 */
function mountKey(mount: RunMount, input: string | undefined): object {
  const { type, target, readOnly, size, env, mode, uid, gid, required } = mount;
  return {
    type,
    target,
    readOnly: readOnly ?? type === 'bind',
    ...(type === 'secret' || type === 'ssh' ? { id: mount.id ?? '', required: required ?? false } : {}),
    size: size ?? null,
    env: env ?? null,
    mode: mode ?? null,
    uid: uid ?? null,
    gid: gid ?? null,
    input: input ?? null,
  };
}

/** Key of a step whose inputs the copy algebra has hashed. @param inputs digest of operation and sources */
export const copyKey = (parent: string, inputs: string, epoch: number | undefined): string =>
  digestOf({ format: FORMAT, kind: 'copy', parent, inputs, epoch: epoch ?? null });

const digestOf = (value: object): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');
