/**
 * What the CLI (through the engine) and a supervisor say to each other over the container's unix socket.
 *
 * Frame: u32 little-endian length of what follows (1..64 MiB), u8 kind, payload. Kind 0 is JSON (a Request or an
 * Event); kinds 1-3 carry raw stdin, stdout, stderr bytes. One connection serves one conversation: after `attach` or
 * `exec` it carries that process's stdio until `exit`. The socket is mode 0600 in a 0700 folder; a client that comes by
 * it says `hello` first, with the supervisor's key (access.ts), for a container may have been given that folder.
 */

import type { InterfaceSetup } from '../../agent-protocol.ts';
import type { Resources, ProcessSpec, Spec } from '../../spec.ts';
import type { ErrorKind } from '../../errors.ts';
import type { Layer } from '../../images/store/contract.ts';
import type { LoggedContainer, LogRequest } from '../../logs/request.ts';
import type { ExitStatus, FilesRequest, Isolation } from '../../sandbox.ts';
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
  /** of on-failure; 0 is no bound */
  maximumRetryCount: number;
}

export interface MachineNetwork {
  /** `02:42:…`, six bytes */
  mac: string;
  /** bytes */
  mtu: number;
  interface: InterfaceSetup;
}

/** Everything a supervisor must know; the first client sends it, so that the supervisor reads no record to begin. */
export interface Task {
  id: string;
  dataRoot: string;
  runtimeDir: string;
  isolation: Isolation;
  spec: Spec;
  /** a network namespace of its own with a way out through the host (pasta); else what the spec says is all */
  outbound: boolean;
  /** a VM's network device, when it has one: its other end is in the jailed supervisor already */
  network?: MachineNetwork;
  terminal: boolean;
  /** the container's stdin stays open for clients (`-i`) */
  openStdin: boolean;
  /** stdin ends when the first client that has it goes away */
  stdinOnce: boolean;
  init: boolean;
  autoRemove: boolean;
  /** of an `autoRemove` container, whose anonymous volumes go with it */
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
  /** of the images that mounts of the spec name, each once. @default none */
  images?: { id: string; layers: Layer[] }[];
  /** for events: Docker's attributes (image, name, labels) */
  attributes: Record<string, string>;
  /** for events: the volumes it has while it runs */
  volumes: { name: string; destination: string; readonly: boolean }[];
}

export interface AttachRequest {
  /** this client wishes to write */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  columns?: number;
  rows?: number;
}

export type Request =
  /** the first frame on a connection by the socket; not answered, unless it is refused */
  | { type: 'hello'; key: string }
  /**
   * the first client only: start this container; with `attach` the connection carries its stdio from the first byte on
   */
  | { type: 'start'; task: Task; attach?: AttachRequest; columns?: number; rows?: number }
  /** stream the container's stdio */
  | ({ type: 'attach' } & AttachRequest)
  | {
      type: 'exec';
      id: string;
      process: ProcessSpec;
      stdin: boolean;
      terminal: boolean;
      detach: boolean;
      columns?: number;
      rows?: number;
    }
  /** of the container's terminal, or with `exec` of that exec's */
  | { type: 'resize'; columns: number; rows: number; exec?: string }
  /** within an attach or exec conversation: no more stdin */
  | { type: 'stdin-end' }
  /**
   * to the container's PID 1, or with `exec` to that exec's process; `byUser`: a person sent it, and if it asks the
   * container to end the restart policy rests
   */
  | { type: 'signal'; signal: number; exec?: string; byUser?: boolean }
  /** stop signal, then SIGKILL after the grace (seconds; -1 waits for ever); answered when the record says exited */
  | { type: 'stop'; timeout?: number; signal?: number }
  /** answered with `exit` when the container has exited for good */
  | { type: 'wait' }
  | { type: 'pause' }
  | { type: 'unpause' }
  | { type: 'stats' }
  | { type: 'processes' }
  /** rows of `top` by the sandbox's own ps */
  | { type: 'ps'; options: string[] }
  /** all of the container's resources, changed; and what its restart policy is from now on */
  | { type: 'update'; resources?: Resources; restart?: RestartPolicy }
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
  | { type: 'error'; message: string; kind: ErrorKind; exitCode: number; fix?: string }
  | { type: 'started'; pid: number }
  | ({ type: 'exit' } & ExitStatus);
