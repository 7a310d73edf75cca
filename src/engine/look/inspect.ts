/**
 * Docker's JSON of `inspect` (ContainerInspect of its Engine API), with husk's own `Isolation` and `ForkedFrom`. Shapes
 * only; asks nothing of the container.
 */
import { join } from 'node:path';
import type { Container } from '../contract.ts';
import { etcFolder } from '../create/etc-files.ts';
import { readRequest, type CreateRequest } from '../request/request.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve } from '../record/reconcile.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { DEFAULT_STOP_SIGNAL } from '../../notation/signals.ts';
import { ExecStore } from '../../state/execs.ts';
import { nanoseconds, rfc3339 } from '../../state/time.ts';
import { hostConfig } from './inspect-host-config.ts';
import { mountPoint } from './inspect-mounts.ts';
import { networkSettings } from './inspect-networks.ts';
import { sizeOf } from './list.ts';
import { logFile } from './logs.ts';

export async function inspect(
  context: EngineContext,
  reference: string,
  options: { size?: boolean } = {},
): Promise<object> {
  const container = resolve(context, reference);
  const { config, state } = container;
  const request = readRequest(config.options);
  const folder = context.paths.container(container.id);
  const etc = etcFolder(context, container);
  // as Docker has it: those that were not started are among them, those that have ended are not
  const execs = new ExecStore(context.database).open(container.id);
  const size = options.size ? await sizeOf(context, container) : undefined;
  return {
    Id: container.id,
    Created: rfc3339(nanoseconds(container.createdAt)),
    Path: config.path,
    Args: config.args,
    State: {
      Status: state.status,
      Running: isRunning(container),
      Paused: state.status === 'paused',
      Restarting: state.status === 'restarting',
      OOMKilled: state.oomKilled,
      Dead: state.status === 'dead',
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(state.health && { Health: healthOf(state.health) }),
    },
    Image: config.imageId,
    ResolvConfPath: join(etc, 'resolv.conf'),
    HostnamePath: join(etc, 'hostname'),
    HostsPath: join(etc, 'hosts'),
    LogPath: request.log.driver === 'json-file' ? logFile(context, container) : '',
    Name: `/${container.name}`,
    RestartCount: state.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: execs.length > 0 ? execs : null,
    HostConfig: hostConfig(request, config.options, container.name),
    GraphDriver: {
      Data: { MergedDir: join(folder, 'merged'), UpperDir: join(folder, 'upper'), WorkDir: join(folder, 'work') },
      Name: 'overlay2',
    },
    ...(size && { SizeRw: size.rw, SizeRootFs: size.rootFs }),
    Mounts: config.mounts.map((mount) => mountPoint(mount, request.mounts, folder)),
    Config: containerConfig(context, container, request),
    NetworkSettings: networkSettings(context, container),
    Isolation: config.isolation,
    ...(config.forkedFrom !== undefined && { ForkedFrom: config.forkedFrom }),
  };
}

function healthOf({ status, failingStreak, log }: NonNullable<Container['state']['health']>): object {
  return {
    Status: status,
    FailingStreak: failingStreak,
    Log: log.map(({ start, end, exitCode, output }) => ({
      Start: start,
      End: end,
      ExitCode: exitCode,
      Output: output,
    })),
  };
}

/** Docker's Config: what the container was made with */
export function containerConfig(context: EngineContext, { config }: Container, request: CreateRequest): object {
  const image = context.images.find(config.imageId)?.config.config ?? {};
  const exposed = new Set([
    ...Object.keys(image.ExposedPorts ?? {}),
    ...request.expose,
    ...request.publish.map(({ container }) => container),
  ]);
  const anonymous = request.mounts
    .filter(({ type, source, createSource }) => type === 'volume' && source === undefined && createSource)
    .map(({ target }) => target);
  const volumes = [...new Set([...Object.keys(image.Volumes ?? {}), ...anonymous])];
  return {
    Hostname: config.hostname,
    Domainname: request.domainname ?? '',
    User: config.user,
    AttachStdin: request.attach.stdin,
    AttachStdout: request.attach.stdout,
    AttachStderr: request.attach.stderr,
    ...(exposed.size > 0 && { ExposedPorts: Object.fromEntries([...exposed].map((port) => [port, {}])) }),
    Tty: request.tty,
    OpenStdin: request.interactive,
    StdinOnce: request.stdinOnce,
    Env: config.env.length > 0 ? config.env : null,
    Cmd: config.command?.length ? config.command : null,
    // a number of zero is left out: Docker's type says `omitempty`
    ...(config.healthcheck && {
      Healthcheck: Object.fromEntries(Object.entries(config.healthcheck).filter(([, value]) => value !== 0)),
    }),
    Image: config.image,
    Volumes: volumes.length > 0 ? Object.fromEntries(volumes.map((path) => [path, {}])) : null,
    WorkingDir: config.workdir === '/' ? (request.workdir ?? image.WorkingDir ?? '') : config.workdir,
    Entrypoint: config.entrypoint?.length ? config.entrypoint : null,
    OnBuild: null,
    Labels: config.labels,
    // a signal that nobody chose is left out: Docker's type says `omitempty`. An image that is gone no longer tells
    // whether it chose this one
    ...((config.stopSignal !== DEFAULT_STOP_SIGNAL || (request.stopSignal ?? image.StopSignal) !== undefined) && {
      StopSignal: config.stopSignal,
    }),
    ...(request.stopTimeout !== undefined && { StopTimeout: request.stopTimeout }),
    ...(image.Shell && { Shell: image.Shell }),
  };
}
