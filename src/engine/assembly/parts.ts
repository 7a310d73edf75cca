/** The real rooms behind the engine, each loaded when first needed: what `EngineParts` stands for outside tests. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Spec } from '../../spec.ts';
import type { Image } from '../../images/store/contract.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import type { Networks } from '../../network/records/contract.ts';
import type { Volumes } from '../../volumes/contract.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container } from '../contract.ts';
import type { CreateRequest } from '../request/request.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { specFile } from '../life/exec.ts';

export async function spec(context: EngineContext, container: Container, request: CreateRequest): Promise<Spec> {
  const [{ buildSpec }, { hostFacts }] = await Promise.all([
    import('../create/spec/build.ts'),
    import('../create/host-facts.ts'),
  ]);
  const { id, config } = container;
  const { spec: built } = buildSpec(id, { config, request }, hostFacts(context, container, request));
  // exec inherits from what the container was really started with
  writeFileSync(specFile(context, id), JSON.stringify(built), { mode: 0o600 });
  return built;
}

export async function volumes(context: EngineContext): Promise<Volumes> {
  const { openVolumes } = await import('../../volumes/volumes.ts');
  return openVolumes({
    database: context.database,
    paths: context.paths,
    inUse: (name) => context.store.usersOfVolume(name),
  });
}

export async function networks(context: EngineContext): Promise<Networks> {
  const [{ openNetworks }, { resolveRunning }] = await Promise.all([
    import('../../network/records/networks.ts'),
    import('../record/reconcile.ts'),
  ]);
  return openNetworks({
    database: context.database,
    config: context.config,
    running: () =>
      resolveRunning(context)
        .filter(isRunning)
        .map(({ id, name, state }) => ({ id, name, endpoints: state.endpoints ?? [] })),
  });
}

export async function unpacked(context: EngineContext, image: Image, kept?: KeptIds): Promise<string[]> {
  const { ensureUnpacked } = await import('../../images/layers/unpack.ts');
  return ensureUnpacked(image.layers, context.paths, { kept });
}

/** overlay's upper holds what the container wrote */
export async function writableSize(context: EngineContext, id: string): Promise<number> {
  const { treeSize } = await import('../../rootless/trees.ts');
  return treeSize(join(context.paths.container(id), 'upper'));
}
