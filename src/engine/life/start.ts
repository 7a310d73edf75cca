/**
 * `start` and `attach`: hands a container to a supervisor, with the first client's streams connected before the command
 * runs. Which of several concurrent starts wins is decided by the supervisors' claims in the record; the others wait
 * and find it running.
 */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Spec } from '../../spec.ts';
import { parseSignal } from '../../notation/signals.ts';
import { EXIT_HUSK_FAILED, HuskError, TemplateFailed } from '../../errors.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import { NEVER, NOT_STARTED } from '../../state/containers.ts';
import { appendUntoldEnd } from '../../state/events.ts';
import { identifySelf } from '../../state/process-identity.ts';
import { SupervisorGone, type SupervisorClient } from '../../supervisor/client.ts';
import type { Task, TaskNetworks } from '../../supervisor/protocol/protocol.ts';
import { attachment } from './attachment.ts';
import type { EngineContext } from '../record/context.ts';
import type { Attachment, Container, Engine } from '../contract.ts';
import { connect, isRunning, notRunning, releaseFiles, reread } from '../record/supervisor-link.ts';
import { makeContainerFolder } from '../record/record-copies.ts';
import { eventAttributes, recordEvent } from '../record/events.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { isNews } from '../create/told-once.ts';
import { readRequest, type CreateRequest } from '../request/request.ts';
import { finishRemoval, resolve } from '../record/reconcile.ts';
import { span } from '../../trace.ts';

type StartOptions = NonNullable<Parameters<Engine['start']>[1]> & {
  /** of a copy: the folder of the machine that it goes on with (src/engine/fork/saved.ts) */
  saved?: string;
  /** its machine boots, whatever the config says */
  coldBoot?: boolean;
};
type AttachOptions = Parameters<Engine['attach']>[1];

export async function start(
  context: EngineContext,
  reference: string,
  options: StartOptions = {},
): Promise<Attachment | undefined> {
  return untilFound(context, async () => {
    const container = resolve(context, reference);
    if (container.state.status === 'paused')
      throw new HuskError('cannot start a paused container, try unpause instead', { kind: 'conflict' });
    if (container.state.status === 'removing')
      throw new HuskError('container is marked for removal and cannot be started', { kind: 'conflict' });
    if (isRunning(container) && options.checkpoint)
      throw new HuskError(`container ${container.id} is already running`, { kind: 'conflict', fix: 'stop it first' });
    if (isRunning(container))
      return options.attach
        ? attachTo(context, container, { ...options.attach, consoleSize: options.consoleSize })
        : undefined;
    if (!container.state.claim) {
      const started = await (options.checkpoint ? startSaved : startNow)(context, container, options);
      return started === 'lost' ? NOT_YET : started;
    }
    await releaseFiles(context, container);
    return NOT_YET;
  });
}

/** From a checkpoint. A start that fails leaves the container the disk that it had. */
async function startSaved(
  context: EngineContext,
  container: Container,
  options: StartOptions,
): Promise<Attachment | undefined | 'lost'> {
  const { putBack } = await import('../fork/put-back.ts');
  const back = putBack(context, container, options.checkpoint!);
  if (!back) return 'lost';
  try {
    const started = await startNow(context, container, { ...options, saved: back.folder });
    back.keep();
    return started;
  } catch (error) {
    back.undo();
    throw error;
  }
}

async function startNow(
  context: EngineContext,
  container: Container,
  options: StartOptions,
): Promise<Attachment | undefined | 'lost'> {
  const { client, task } = await withSupervisor(context, container, options).catch(async (error: unknown) => {
    // a conflict here (with the container it joins) is no lost race
    await notStarted(context, container, error);
    throw error;
  });
  try {
    if (options.attach) recordEvent(context, container, 'attach');
    const size = options.consoleSize && { columns: options.consoleSize.columns, rows: options.consoleSize.rows };
    using _asking = span('ask the supervisor to start it');
    const { event, streams } = await client.open(
      { type: 'start', task, attach: options.attach && { ...options.attach, ...size }, ...size },
      { stdin: options.attach?.stdin === true && container.config.options.interactive },
    );
    if (event.type === 'started')
      for (const { text, ofHost, ofTemplate } of event.warnings ?? [])
        if (ofTemplate) await refuseTemplate(context, task, { why: text, onDetail: options.onDetail });
        else if (!ofHost || isNews(text, context.paths)) options.onWarning?.(text);
    if (options.attach) return attachment(context, container, streams);
    client[Symbol.dispose]();
    return undefined;
  } catch (error) {
    client[Symbol.dispose]();
    if (error instanceof TemplateFailed) {
      await refuseTemplate(context, task, { why: error.message, onDetail: options.onDetail });
      return startNow(context, container, { ...options, coldBoot: true });
    }
    if (
      error instanceof HuskError &&
      error.kind === 'conflict' &&
      reread(context, container.id)?.state.status !== 'removing'
    )
      return 'lost';
    if (error instanceof SupervisorGone)
      throw new HuskError(`the supervisor of ${container.id} ended while it started the container`, {
        kind: 'internal',
        exitCode: EXIT_HUSK_FAILED,
        fix: `see ${context.paths.container(container.id)}/supervisor.log`,
        cause: error,
      });
    throw error;
  }
}

/** Removes a template that is of no use: the next start makes another. */
export async function refuseTemplate(
  { paths }: EngineContext,
  { template }: Task,
  { why, onDetail }: { why: string; onDetail?: ((text: string) => void) | undefined },
): Promise<void> {
  const { removeTemplate } = await import('../../vmm/templates/folder.ts');
  if (template) removeTemplate(paths.templates, basename(dirname(template.state)));
  onDetail?.(`the virtual machine booted, because its template is of no use: ${why}`);
}

/** A supervisor, and what it is to be told. */
async function withSupervisor(
  context: EngineContext,
  container: Container,
  options: StartOptions,
): Promise<{ client: SupervisorClient; task: Task }> {
  // a VM's supervisor is born in its jail: what it must see is known first
  if (container.config.isolation === 'vm') return context.jailedSupervisor(await makeTask(context, container, options));
  // taken first: one that is only now started gets ready meanwhile
  const client = context.supervisor();
  try {
    const onNetworks = () => void client.prepareNetworks();
    return { client, task: await makeTask(context, container, { ...options, onNetworks }) };
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
}

/** Records a start that failed before there was a supervisor, as a supervisor records its own. Never rejects. */
async function notStarted(context: EngineContext, { id, config }: Container, error: unknown): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  let isRemoving = false;
  try {
    const left = context.store.change(id, (state) => {
      if (state.claim || !['created', 'exited'].includes(state.status)) return undefined;
      appendUntoldEnd(context.database, { id, exitCode: NOT_STARTED, error: message });
      const failed = { ...state, exitCode: NOT_STARTED, error: message, awaited: undefined };
      if (!config.options.autoRemove) return failed;
      isRemoving = true;
      return { ...failed, status: 'removing', claim: { by: identifySelf(), operation: 'remove' } };
    });
    if (!isRemoving || !left) return;
    // `--rm` holds for one that never ran, too
    await finishRemoval(context, left);
    if (config.mounts.length > 0) await (await context.volumes()).removeAnonymous(config.mounts);
  } catch {
    // nothing can be written, or somebody else has it by now: why it did not start is what counts
  }
}

export async function makeTask(
  context: EngineContext,
  container: Container,
  options: StartOptions & {
    /** only its files are wanted */
    offline?: boolean;
    /** called first of all when it is to be on networks, in user namespaces */
    onNetworks?: () => void;
  } = {},
): Promise<Task> {
  using _making = span('make the task');
  const { id, config } = container;
  const image = context.images.get(config.imageId);
  // an empty one in its place would be a loss that nobody hears of
  if (container.state.startedAt !== NEVER && !existsSync(context.paths.container(id)))
    throw new HuskError(`what container ${id} wrote is gone: ${context.paths.container(id)} is missing`, {
      kind: 'corrupt',
      exitCode: EXIT_HUSK_FAILED,
      fix: `husk rm ${container.name}, and make it anew`,
    });
  const request = readRequest(config.options);
  const wanted = options.offline ? [] : new NetworkRecords(context.database).wantedBy(id);
  const names = wanted.map(({ network }) => network);
  const onNetworks = names.some((name) => !['host', 'none'].includes(name));
  if (onNetworks) options.onNetworks?.();
  const networks = onNetworks
    ? await (await import('./task-networks.ts')).taskNetworks(context, container, { request, wanted })
    : undefined;
  const made = await specOf(context, container, request);
  const spec =
    networks && request.links.length > 0 ? await linkedSpec(context, made, { container, request, networks }) : made;
  return {
    id,
    dataRoot: context.paths.dataRoot,
    runtimeDir: context.paths.runtimeDir,
    isolation: config.isolation,
    coldBoot: options.coldBoot === true || request.coldBoot === true || context.config['vm-start'] === 'boot',
    spec,
    ...(options.saved !== undefined && { saved: options.saved }),
    ...(networks && { networks }),
    terminal: request.tty,
    openStdin: request.interactive,
    stdinOnce: request.stdinOnce,
    init: request.init || context.config.init === true,
    autoRemove: request.autoRemove,
    mounts: request.autoRemove ? config.mounts : [],
    stopSignal: parseSignal(config.stopSignal),
    stopTimeout: request.stopTimeout ?? 10,
    log: {
      ...request.log,
      container: {
        id,
        name: container.name,
        imageId: config.imageId,
        image: config.image,
        labels: config.labels,
        env: config.env,
      },
    },
    restart: request.restart,
    health:
      config.healthcheck &&
      (await import('../create/spec/health.ts')).healthCheck(config, spec, image.config.config?.Shell),
    layers: image.layers,
    images: imagesOf(context, config),
    attributes: eventAttributes(container),
    volumes: config.mounts.flatMap(({ type, name, destination, readonly }) =>
      type === 'volume' && name !== undefined ? [{ name, destination, readonly }] : [],
    ),
  };
}

/** With what it is told of the containers that it is linked to. */
async function linkedSpec(
  context: EngineContext,
  spec: Spec,
  { container, request, networks }: { container: Container; request: CreateRequest; networks: TaskNetworks },
): Promise<Spec> {
  const { linkedContainers, withLinked } = await import('./links.ts');
  const { hosts, env } = linkedContainers(context, container, request);
  networks.hosts.push(...hosts);
  return { ...spec, process: { ...spec.process, env: withLinked(spec.process.env, env) } };
}

/** @returns the images that are mounted, each once */
function imagesOf(context: EngineContext, { mounts }: Container['config']): Task['images'] {
  const ids = new Set(mounts.flatMap(({ image }) => image ?? []));
  return [...ids].map((id) => ({ id, layers: context.images.get(id).layers }));
}

/**
 * The container's folder may not be there: it was removed since it was looked up, or its creator was killed before
 * making it.
 */
async function specOf(context: EngineContext, container: Container, request: CreateRequest): Promise<Spec> {
  try {
    return await context.buildSpec(container, request);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (reread(context, container.id) === undefined || !makeContainerFolder(context, container.id))
      throw new HuskError(`No such container: ${container.id}`, { kind: 'not-found', cause: error });
    return context.buildSpec(container, request);
  }
}

export async function attach(context: EngineContext, reference: string, options: AttachOptions): Promise<Attachment> {
  const container = resolve(context, reference);
  if (container.state.status === 'paused')
    throw new HuskError('You cannot attach to a paused container, unpause it first', { kind: 'conflict' });
  if (container.state.status === 'restarting')
    throw new HuskError('You cannot attach to a restarting container, wait until it is running', { kind: 'conflict' });
  if (!isRunning(container))
    throw new HuskError('You cannot attach to a stopped container, start it first', { kind: 'conflict' });
  return attachTo(context, container, {
    stdin: options.stdin,
    stdout: options.stdout ?? true,
    stderr: options.stderr ?? true,
    consoleSize: options.consoleSize,
    awaited: options.awaited,
  });
}

async function attachTo(
  context: EngineContext,
  container: Container,
  options: Required<Pick<AttachOptions, 'stdin' | 'stdout' | 'stderr'>> & AttachOptions,
): Promise<Attachment> {
  const client = await connect(context, container);
  if (!client) throw notRunning(container);
  const stdin = options.stdin && container.config.options.interactive;
  const { streams } = await client.open(
    {
      type: 'attach',
      stdin,
      stdout: options.stdout,
      stderr: options.stderr,
      columns: options.consoleSize?.columns,
      rows: options.consoleSize?.rows,
      awaited: options.awaited,
    },
    { stdin },
  );
  recordEvent(context, container, 'attach');
  return attachment(context, container, streams);
}
