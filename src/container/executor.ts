/**
 * Runs a launch plan: spawns `husk-init`, answers its questions, reports its end. Used on the host (rootless) and in the guest
 * (agent) alike. The interface below is the contract; see launch-plan.ts for what a plan is.
 */
import type { Readable, Writable } from 'node:stream';
import type { AwaitTag, LaunchPlan } from './launch-plan.ts';

export interface LaunchOptions {
  /** path of the husk-init binary */
  init: string;
  /** `pipe` gives real pipes (a container can reopen /dev/stdout), a number an fd to inherit */
  stdin: 'pipe' | 'null' | number;
  stdout: 'pipe' | 'null' | number;
  stderr: 'pipe' | 'null' | number;
  /** called at each `await`; the plan goes on when the promise resolves; a rejection ends the process */
  onAwait?: (tag: AwaitTag, pid: number) => void | Promise<void>;
}

export interface Launched {
  /** pid of the innermost process of the plan, in this pid namespace; known from the first `fork` on */
  readonly pid: Promise<number>;
  /** resolves when execve has happened; rejects with LaunchError naming step, path and errno */
  readonly started: Promise<void>;
  /** never rejects */
  readonly exited: Promise<{ code: number; signal?: number }>;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** the terminal's master once `openPty` has run */
  readonly pty: Promise<{ fd: number }> | null;
  /** to the innermost process, by pidfd: never a reused pid */
  signal(signal: number): void;
}

export type Launch = (plan: LaunchPlan, options: LaunchOptions) => Launched;
