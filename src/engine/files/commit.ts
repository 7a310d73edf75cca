/**
 * `commit`: what a container has changed becomes a layer on its image, and its settings the new image's. Its processes
 * stand still meanwhile, where they can.
 */
import { HuskError } from '../../errors.ts';
import type { ImageConfig } from '../../images/store/contract.ts';
import { mergeEnv } from '../create/spec/command.ts';
import { mergeHealthcheck } from '../create/spec/health.ts';
import type { EngineContext } from '../record/context.ts';
import type { CommitOptions, Container } from '../contract.ts';
import { ask } from '../record/supervisor-link.ts';
import { recordEvent } from '../record/events.ts';
import { withFiles } from './container-files.ts';
import { readRequest } from '../request/request.ts';
import { containerConfig } from '../look/inspect.ts';
import { resolve } from '../record/reconcile.ts';

type Settings = NonNullable<ImageConfig['config']>;

export async function commit(
  context: EngineContext,
  reference: string,
  options: CommitOptions = {},
): Promise<{ id: string; warnings: string[] }> {
  const container = resolve(context, reference);
  if (container.state.status === 'removing')
    throw new HuskError(`You cannot commit container ${container.id} which is being removed`, { kind: 'conflict' });
  const { reference: name, author, message, changes = [] } = options;
  const warnings: string[] = [];
  const paused =
    options.pause !== false && container.state.status === 'running' && (await pause(context, container, warnings));
  try {
    const image = await withFiles(context, container, async (files) =>
      context.images.commit(await files.layer(), {
        base: container.config.imageId,
        config: mergeSettings(options.config ?? {}, settings(context, container)),
        createdBy: (container.config.command ?? []).join(' '),
        reference: name,
        author,
        message,
        changes,
      }),
    );
    recordEvent(context, container, 'commit', {
      comment: message ?? '',
      imageID: image.id,
      imageRef: image.repoTags[0] ?? '',
    });
    return { id: image.id, warnings };
  } finally {
    // it may have been killed meanwhile
    if (paused) await ask(context, container, { type: 'unpause' }).catch(() => {});
  }
}

/** @returns whether it stands still now */
async function pause(context: EngineContext, container: Container, warnings: string[]): Promise<boolean> {
  try {
    return (await ask(context, container, { type: 'pause' })) !== undefined;
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'unsupported') throw error;
    warnings.push(`${error.message}; it goes on while it is copied`);
    return false;
  }
}

/**
 * Settings that were asked for over the container's own: moby daemon/commit.go `merge`. An entrypoint that was asked
 * for takes the container's command away, but for `[]`, which takes the container's entrypoint alone.
 */
export function mergeSettings(asked: Settings, own: Settings): Settings {
  const hasCommand = asked.Cmd?.length || asked.Entrypoint?.length;
  const health = mergeHealthcheck(asked.Healthcheck, own.Healthcheck);
  return {
    ...own,
    ...asked,
    ExposedPorts: asked.ExposedPorts ? { ...own.ExposedPorts, ...asked.ExposedPorts } : own.ExposedPorts,
    Env: mergeEnv(asked.Env ?? [], own.Env ?? []),
    Labels: { ...own.Labels, ...asked.Labels },
    Volumes: asked.Volumes ? { ...own.Volumes, ...asked.Volumes } : own.Volumes,
    Entrypoint: asked.Entrypoint ?? own.Entrypoint,
    Cmd: hasCommand ? asked.Cmd : own.Cmd,
    ...(health && { Healthcheck: health }),
  };
}

/** What the container was made with, its image's part included; what is about one container stays with it. */
function settings(context: EngineContext, container: Container): Settings {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal, Shell, Healthcheck } =
    containerConfig(context, container, readRequest(container.config.options)) as Required<Settings>;
  const set = Object.entries({
    User,
    ExposedPorts,
    Env,
    Entrypoint,
    Cmd,
    Volumes,
    WorkingDir,
    Labels,
    StopSignal,
    Shell,
    Healthcheck,
  }).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return Object.fromEntries(set);
}
