/** What a client's conversation may ask of the container that this supervisor is for. Types only. */
import type { Readable } from 'node:stream';
import type { Resources } from '../../spec.ts';
import type { ExitStatus, FilesRequest, Sandbox, SandboxProcess } from '../../sandbox.ts';
import type { Execs } from './execs.ts';
import type { FanOut } from './fan-out.ts';
import type { Request, RestartPolicy, Saved, Task, Warning } from '../protocol/protocol.ts';

export type ConnectNetwork = Omit<Extract<Request, { type: 'connect-network' }>, 'type'>;

/** A terminal's, in characters. */
export interface Size {
  columns?: number | undefined;
  rows?: number | undefined;
}

/** A command that runs; its output is held until `begin`. */
export interface Started {
  pid: number;
  warnings?: readonly Warning[];
  begin(): void;
}

export interface ContainerControl {
  /** the running container's first process; undefined before the start and after the exit */
  readonly process: SandboxProcess | undefined;
  readonly output: FanOut;
  readonly terminal: boolean;
  readonly stdinOnce: boolean;
  /** the sandbox of the life that runs now; @throws when there is none */
  sandbox(): Sandbox;
  start(task: Task, size: Size): Promise<Started>;
  /** claims a container that does not run, as `start` does, for its files alone */
  open(task: Task): Promise<void>;
  files(request: FilesRequest, input?: Readable): Readable;
  /** counts one more user of the files that are open. @throws HuskError `conflict` when they are being closed */
  joinFiles(): void;
  leaveFiles(): void;
  /** gives the files up at once: somebody wants the container itself */
  releaseFiles(): void;
  /** tells that the start failed and its client knows: nothing is left to supervise */
  abandon(): void;
  stop(options: { timeout?: number; signal?: number }): Promise<void>;
  signal(signal: number, byUser: boolean): Promise<void>;
  pause(options: { swapOut?: boolean | undefined }): Promise<void>;
  unpause(): Promise<void>;
  /** saves the container as it is at one moment, and goes on. @throws HuskError `unsupported`, `conflict` */
  save(): Promise<Saved>;
  update(change: { resources?: Resources; restart?: RestartPolicy }): Promise<void>;
  connectNetwork(asked: ConnectNetwork): Promise<void>;
  disconnectNetwork(networkId: string): Promise<void>;
  /** the next exit of the container, after it is recorded */
  exit(): Promise<ExitStatus>;
  /** an event of the container, for `events` */
  record(action: string, attributes?: Record<string, string>): void;
  /** these clients, who were attached before the start, have their streams, or want them no more */
  arrived(tokens: readonly string[]): void;
  /** something is over: what it took of memory may be given back */
  settled(): void;
  /** the commands that run beside the container's own */
  readonly execs: Execs;
}
