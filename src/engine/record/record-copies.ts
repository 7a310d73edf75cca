/**
 * containers/<id>, and record.json in it: a copy of the record but for its state, which changes too often. Read by
 * `system check` alone. A removal looks for the folder once, after its claim: what is made here after that look is
 * taken away here.
 */
import { rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../../host/files/make-folder.ts';
import type { Paths } from '../../paths.ts';
import { readCopy, writeCopy } from '../../state/copies.ts';
import type { EngineContext } from './context.ts';
import type { Container, ContainerConfig } from '../contract.ts';

export type ContainerCopy = Omit<Container, 'state'>;

const copyFile = (paths: Pick<Paths, 'container'>, id: string) => join(paths.container(id), 'record.json');

/** @returns false when the container is being removed, or has been */
export function makeContainerFolder(context: Pick<EngineContext, 'paths' | 'store'>, id: string): boolean {
  makeFolder(context.paths.container(id), 0o711);
  return isStaying(context, id);
}

export function keepContainerCopy(context: Pick<EngineContext, 'paths' | 'store'>, id: string): void {
  const record = context.store.get(id);
  if (!record) return;
  const { name, imageId, createdAt, config } = record;
  writeCopy(copyFile(context.paths, id), { id, name, imageId, createdAt, config } satisfies ContainerCopy);
  isStaying(context, id);
}

/**
 * Asked after something was made in its folder. Where a removal has been claimed by then, and may have looked already,
 * that goes again.
 */
function isStaying(context: Pick<EngineContext, 'paths' | 'store'>, id: string): boolean {
  const status = context.store.get(id)?.state.status;
  if (status !== undefined && status !== 'removing') return true;
  rmSync(copyFile(context.paths, id), { force: true });
  try {
    rmdirSync(context.paths.container(id));
  } catch {
    // the removal has it, or will find it
  }
  return false;
}

export function readContainerCopy(paths: Pick<Paths, 'container'>, id: string): ContainerCopy | undefined {
  const copy = readCopy(copyFile(paths, id)) as ContainerCopy | undefined;
  return copy &&
    copy.id === id &&
    typeof copy.name === 'string' &&
    typeof copy.imageId === 'string' &&
    typeof copy.createdAt === 'number' &&
    isConfig(copy.config)
    ? copy
    : undefined;
}

/** What every command relies on. */
export function isConfig(value: unknown): value is ContainerConfig {
  if (typeof value !== 'object' || value === null) return false;
  const config = value as Partial<Record<keyof ContainerConfig, unknown>>;
  const options = config.options as Record<string, unknown> | undefined;
  const texts = ['image', 'imageId', 'isolation', 'path', 'workdir', 'user', 'stopSignal', 'hostname'] as const;
  const lists = ['args', 'env', 'mounts'] as const;
  return (
    texts.every((key) => typeof config[key] === 'string') &&
    lists.every((key) => Array.isArray(config[key])) &&
    typeof config.labels === 'object' &&
    typeof options === 'object' &&
    typeof options['restart'] === 'object' &&
    typeof options['resources'] === 'object' &&
    typeof options['logOptions'] === 'object' &&
    ['network', 'logDriver'].every((key) => typeof options[key] === 'string') &&
    ['publish', 'expose', 'mounts', 'volumesFrom'].every((key) => Array.isArray(options[key]))
  );
}
