/**
 * `start` and `attach`: hands a container to a supervisor, with the first client's streams connected before the command
 * runs. Which of several concurrent starts wins is decided by the supervisors' claims in the record; the others wait
 * and find it running.
 */
import { existsSync } from 'node:fs';
import type { Spec } from '../../spec.ts';
import { parseSignal } from '../../notation/signals.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { NEVER } from '../../state/containers.ts';
import type { Task } from '../../supervisor/protocol/protocol.ts';
import { attachment } from './attachment.ts';
import type { EngineContext } from '../record/context.ts';
import type { Attachment, Container, Engine } from '../contract.ts';
import { connect, isRunning, notRunning, releaseFiles, reread } from '../record/supervisor-link.ts';
import { makeContainerFolder } from '../record/record-copies.ts';
import { eventAttributes, recordEvent } from '../record/events.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { outbound } from '../create/network-choice.ts';
import { readRequest, type CreateRequest } from '../request/request.ts';
import { resolve } from '../record/reconcile.ts';
import { span } from '../../trace.ts';

type StartOptions = NonNullable<Parameters<Engine['start']>[1]>;
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
    if (isRunning(container))
      return options.attach
        ? attachTo(context, container, { ...options.attach, consoleSize: options.consoleSize })
        : undefined;
    if (!container.state.claim) {
      const started = await startNow(context, container, options);
      return started === 'lost' ? NOT_YET : started;
    }
    await releaseFiles(context, container);
    return NOT_YET;
  });
}

async function startNow(
  context: EngineContext,
  container: Container,
  options: StartOptions,
): Promise<Attachment | undefined | 'lost'> {
  // a VM's supervisor is born in its jail: what it must see is known first
  const jailed =
    container.config.isolation === 'vm'
      ? await context.jailedSupervisor(await makeTask(context, container, options))
      : undefined;
  // taken first: one that is only now started gets ready meanwhile
  const client = jailed?.client ?? context.supervisor();
  let task: Task;
  try {
    task = jailed?.task ?? (await makeTask(context, container, options));
  } catch (error) {
    // a conflict here (with the container it joins) is no lost race
    client[Symbol.dispose]();
    throw error;
  }
  try {
    if (options.attach) recordEvent(context, container, 'attach');
    const size = options.consoleSize && { columns: options.consoleSize.columns, rows: options.consoleSize.rows };
    using _asking = span('ask the supervisor to start it');
    const { streams } = await client.open(
      { type: 'start', task, attach: options.attach && { ...options.attach, ...size }, ...size },
      { stdin: options.attach?.stdin === true && container.config.options.interactive },
    );
    if (options.attach) return attachment(context, container, streams);
    client[Symbol.dispose]();
    return undefined;
  } catch (error) {
    client[Symbol.dispose]();
    if (
      error instanceof HuskError &&
      error.kind === 'conflict' &&
      reread(context, container.id)?.state.status !== 'removing'
    )
      return 'lost';
    if (error instanceof HuskError && error.kind === 'unavailable')
      throw new HuskError(`the supervisor of ${container.id} ended while it started the container`, {
        kind: 'internal',
        exitCode: EXIT_HUSK_FAILED,
        fix: `see ${context.paths.container(container.id)}/supervisor.log`,
        cause: error,
      });
    throw error;
  }
}

export async function makeTask(
  context: EngineContext,
  container: Container,
  options: StartOptions = {},
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
  const spec = await specOf(context, container, request);
  return {
    id,
    dataRoot: context.paths.dataRoot,
    runtimeDir: context.paths.runtimeDir,
    isolation: config.isolation,
    spec,
    outbound: outbound(request, config.isolation).outbound,
    terminal: request.tty,
    openStdin: request.interactive,
    stdinOnce: options.attach?.stdin === true,
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

/** Those that are mounted, each once. */
function imagesOf(context: EngineContext, { mounts }: Container['config']): Task['images'] {
  const ids = new Set(mounts.flatMap(({ image }) => image ?? []));
  return [...ids].map((id) => ({ id, layers: context.images.get(id).layers }));
}

/** Its folder may not be there: removed since it was looked up, or its creator was killed before making it. */
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
    stdout: true,
    stderr: true,
    consoleSize: options.consoleSize,
  });
}

async function attachTo(
  context: EngineContext,
  container: Container,
  options: { stdin: boolean; stdout: boolean; stderr: boolean; consoleSize?: { columns: number; rows: number } },
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
    },
    { stdin },
  );
  recordEvent(context, container, 'attach');
  return attachment(context, container, streams);
}
