/**
 * What the CLI (through the engine) and a supervisor say to each other over the container's unix socket.
 *
 * Frame: u32 little-endian length of what follows (1..64 MiB), u8 kind, payload. Kind 0 is JSON (a Request or an
 * Event); kinds 1-3 carry raw stdin, stdout, stderr bytes. One connection serves one conversation: after `attach` or
 * `exec` it carries that process's stdio until `exit`. The socket is mode 0600 in a 0700 folder; a client that comes by
 * it says `hello` first, with the supervisor's key (access.ts), for a container may have been given that folder.
 */

import type { MachineNames } from '../../network/attach/machine-names.ts';
import type { Resources, ProcessSpec, Spec } from '../../spec.ts';
import type { ErrorKind } from '../../errors.ts';
import type { Layer } from '../../images/store/contract.ts';
import type { LoggedContainer, LogRequest } from '../../logs/request.ts';
import type { MachineNetworks } from '../../network/attach/machine.ts';
import type { PortMapping } from '../../network/ports/bind.ts';
import type { EndpointRequest, Network } from '../../network/records/contract.ts';
import type { ExitStatus, FilesRequest, Isolation } from '../../sandbox.ts';
import type { SocketOwner } from '../../vmm/sockets/messages.ts';
import type { VmSize } from '../../vmm/templates/shape.ts';
import type { ResolvedMount } from '../../volumes/contract.ts';

export const FRAME_JSON = 0;
export const FRAME_STDIN = 1;
export const FRAME_STDOUT = 2;
export const FRAME_STDERR = 3;
/**
 * Bytes; longer frames end the connection. A task has the container's arguments and environment (execve(2) takes 6
 * MiB), the latter twice, and its labels: in JSON a control character takes six bytes.
 */
export const MAX_FRAME = 64 << 20;
/** bytes of a frame that carries a part of a stream: what one client holds up at most */
export const MAX_STREAM_FRAME = 1 << 20;

/** A health check with every default filled in; times in ms. */
export interface HealthCheck {
  /** the probe */
  process: ProcessSpec;
  interval: number;
  timeout: number;
  startPeriod: number;
  startInterval: number;
  /** failures in a row that make the container unhealthy */
  retries: number;
}

export interface RestartPolicy {
  name: 'no' | 'always' | 'unless-stopped' | 'on-failure';
  /** how often `on-failure` starts it again; 0 is no bound */
  maximumRetryCount: number;
}

/** What a container needs on networks of husk's; which they are its rows say, when it starts. */
export interface TaskNetworks {
  /** those it is to be on when it was asked to start; of the default network the config's options are not in its row */
  known: Network[];
  /** of its own, for its neighbours and its /etc/hosts */
  hostname: string;
  domainname?: string;
  /** lines of /etc/hosts about the containers it is linked to */
  hosts: string[];
  publish: PortMapping[];
  /** rules of `--egress`, as typed; absent: it goes anywhere */
  egress?: string[];
  /** for its name server, when it has one */
  names: { resolvers: { address: string; from: 'host' | 'container' }[]; ndotsSet: boolean; resolvConf: string };
}

/** Everything a supervisor must know; the first client sends it, so that the supervisor reads no record to begin. */
export interface Task {
  id: string;
  dataRoot: string;
  runtimeDir: string;
  isolation: Isolation;
  spec: Spec;
  /** of a VM: it boots whatever there is to go on from */
  coldBoot: boolean;
  /** of a VM: its size, as who starts it counts this host; absent: the supervisor counts */
  size?: VmSize | undefined;
  /** of a VM: the machine that it goes on from, paths; absent: it boots */
  template?: { state: string; memory: string };
  /** of a VM: the folder of the machine that it goes on with, once, as a copy of another container (saved-files.ts) */
  saved?: string;
  /** absent: what the spec says of a network namespace is all */
  networks?: TaskNetworks;
  /** of a VM on networks of husk's: what was made of them for it before its supervisor was (descriptors.ts) */
  machine?: MachineNetworks;
  /** of a VM: whom its name server asks, or its warden alone; absent: it has none */
  names?: MachineNames | 'warden';
  /** of a VM: the host's sockets that mounts of the spec name, by their numbers. @default none */
  sockets?: SocketOwner[];
  terminal: boolean;
  /** the container's stdin stays open for clients (`-i`) */
  openStdin: boolean;
  /** stdin ends when the first client that has it ends it or goes away without `detach`; never that of a terminal */
  stdinOnce: boolean;
  init: boolean;
  autoRemove: boolean;
  /** what an `autoRemove` container has mounted: its anonymous volumes go with it */
  mounts: ResolvedMount[];
  stopSignal: number;
  /** seconds; -1 waits for ever */
  stopTimeout: number;
  /** the container as the log's attributes know it */
  log: LogRequest & { container: LoggedContainer };
  restart: RestartPolicy;
  health?: HealthCheck;
  /** the image's layers, bottom first */
  layers: Layer[];
  /** the images that mounts of the spec name, each once. @default none */
  images?: { id: string; layers: Layer[] }[];
  /** what events say of it: Docker's attributes (image, name, labels) */
  attributes: Record<string, string>;
  /** the volumes that it has while it runs, which events tell of */
  volumes: { name: string; destination: string; readonly: boolean }[];
}

/** What whoever starts a container is told. */
export interface Warning {
  text: string;
  /** it is of the host: nobody is told twice before the next boot */
  ofHost?: boolean;
  /** the template that the task names is of no use, and is to be removed: the container runs all the same */
  ofTemplate?: boolean;
}

/** of `save` */
export interface Saved {
  /** ms for which the container stood still */
  standstill: number;
}

export interface AttachRequest {
  /** this client wishes to write */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  columns?: number;
  rows?: number;
  /** tokens of the clients that were attached before the start, and have their streams with this. @default none */
  awaited?: readonly string[];
}

export type Request =
  /** the first frame on a connection by the socket; not answered, unless it is refused */
  | { type: 'hello'; key: string }
  /**
   * the first client only: the task that follows is of a container on networks, whose part loads meanwhile; not
   * answered
   */
  | { type: 'prepare-networks' }
  /**
   * the first client only: start this container; with `attach` the connection carries its stdio from the first byte on
   */
  | { type: 'start'; task: Task; attach?: AttachRequest; columns?: number; rows?: number }
  /** stream the container's stdio */
  | ({ type: 'attach' } & AttachRequest)
  /** starts a command that has a row and was not started before; without `detach` the connection carries its stdio */
  | {
      type: 'exec';
      id: string;
      process: ProcessSpec;
      stdin: boolean;
      terminal: boolean;
      detach: boolean;
      /** which of its outputs. @default both */
      attach?: { stdout: boolean; stderr: boolean };
      columns?: number;
      rows?: number;
    }
  /** the clients of these tokens, who were attached before the start, have gone: no output waits for them */
  | { type: 'leave-start'; awaited: readonly string[] }
  /** gives the container's terminal a size, or with `exec` that exec's; `not-found` when that does not run */
  | { type: 'resize'; columns: number; rows: number; exec?: string }
  /** within an attach or exec conversation: no more stdin */
  | { type: 'stdin-end' }
  /**
   * within an attach or exec conversation: this client goes, and the process keeps its stdin. Answered with the end of
   * the connection
   */
  | { type: 'detach' }
  /**
   * to the container's PID 1, or with `exec` to that exec's process; `byUser`: a person sent it, and if it asks the
   * container to end the restart policy rests
   */
  | { type: 'signal'; signal: number; exec?: string; byUser?: boolean }
  /** stop signal, then SIGKILL after the grace (seconds; -1 waits for ever); answered when the record says exited */
  | { type: 'stop'; timeout?: number; signal?: number }
  /** answered with `exit` when the container has exited for good */
  | { type: 'wait' }
  /** `swapOut`: and its memory goes back to the host; `unsupported` where it cannot */
  | { type: 'pause'; swapOut?: boolean | undefined }
  | { type: 'unpause' }
  /**
   * the container is saved as it is at one moment, into `saved` in its folder, and goes on; answered with Saved. What
   * was there is gone. `unsupported` where processes cannot be saved
   */
  | { type: 'save' }
  | { type: 'stats' }
  | { type: 'processes' }
  /** rows of `top` by the sandbox's own ps */
  | { type: 'ps'; options: string[] }
  /** all of the container's resources, changed; and what its restart policy is from now on */
  | { type: 'update'; resources?: Resources; restart?: RestartPolicy }
  /** the container is put on a network, or taken off it; the rows of its record follow */
  | { type: 'connect-network'; network: Network; wanted: EndpointRequest; networks: TaskNetworks }
  | { type: 'disconnect-network'; networkId: string }
  /**
   * the first client only: open the files of this container, of which nothing is started; everything ends with the
   * connection, a machine some seconds later
   */
  | { type: 'open'; task: Task }
  /**
   * to a supervisor that has the files of a container open: they stay so for this connection, too; `conflict` when they
   * do not
   */
  | { type: 'join-files' }
  /** the container is wanted: whoever uses its files goes on, and then they are closed */
  | { type: 'release-files' }
  /**
   * answered with `ok`; then an input goes in as stdin up to `stdin-end`, the answer's bytes come as stdout, and `exit`
   * or `error` ends them: the connection is free for the next request then
   */
  | { type: 'files'; request: FilesRequest };

export type Event =
  | { type: 'ok'; value?: unknown }
  /** `ofTemplate`: a TemplateFailed; the record is as it was, and the container may be started by a boot */
  | { type: 'error'; message: string; kind: ErrorKind; exitCode: number; fix?: string; ofTemplate?: boolean }
  /** with what went wrong on the way, and did not keep the container from its start */
  | { type: 'started'; pid: number; warnings?: Warning[] }
  | ({ type: 'exit' } & ExitStatus);
