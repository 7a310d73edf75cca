/** What a supervisor does at the moment: each case has exactly what there is then. Types only. */
import type { Sandbox } from '../../sandbox.ts';
import type { HeldContainer } from './held-container.ts';
import type { KeptFiles } from './kept-files.ts';
import type { RunningCommand } from './running-command.ts';

export type LifeState =
  /** No client has named a container. */
  | { is: 'unclaimed' }
  /**
   * Its command is being started. `over` resolves when it runs, or when it is recorded that it could not be started.
   */
  | { is: 'starting'; container: HeldContainer; over: Promise<void> }
  | { is: 'running'; container: HeldContainer; command: RunningCommand }
  /** The container's first process has exited; what it wrote last is still read. */
  | { is: 'draining'; container: HeldContainer; command: RunningCommand }
  /** The container's sandbox is being given back, and its exit recorded. */
  | { is: 'exiting'; container: HeldContainer }
  /** The container has exited, and its restart policy starts it again after a while. */
  | { is: 'waiting'; container: HeldContainer; cancel(): void }
  /** The container's files are being made accessible; nothing of it is started. */
  | { is: 'opening'; container: HeldContainer }
  | { is: 'open'; container: HeldContainer; sandbox: Sandbox; kept: KeptFiles }
  | { is: 'closing'; container: HeldContainer }
  /** The container could not be claimed, started or opened; its client is told, and when that goes all is over. */
  | { is: 'failed'; container: HeldContainer }
  /** Nothing is left to supervise. */
  | { is: 'ended'; container: HeldContainer | undefined };
