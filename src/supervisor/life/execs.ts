/**
 * The commands that run in a container beside its own: each is started once, and its row says what has become of it.
 * One supervisor starts all of a container's, so that of two processes that start the same one, one wins. Carries no
 * output: that is ../conversation/.
 */
import { HuskError } from '../../errors.ts';
import { within } from '../../long-timer.ts';
import type { ProcessSpec } from '../../spec.ts';
import type { ExitStatus, Sandbox, SandboxProcess, StdioRequest } from '../../sandbox.ts';
import { KILLED } from '../../state/execs.ts';
import { noSuchExec, startedBefore } from './exec-errors.ts';
import type { ExecRecord } from './exec-record.ts';

/** ms in which a killed process's end is heard of */
const END_PATIENCE_MS = 500;
/** Docker's for what could not be started and has no exit code of its own (moby daemon/exec.go, exitEaccess) */
const NOT_STARTED = 126;

interface Exec {
  /** rejects when it could not be started */
  process: Promise<SandboxProcess>;
  /** absent while its process lives */
  exitCode?: number;
}

/** What the container has now: there is none before a client has named it. */
export interface ExecsOf {
  /** @throws HuskError when it does not run */
  sandbox(): Sandbox;
  record(): ExecRecord | undefined;
}

export class Execs {
  readonly #of: ExecsOf;
  /** those that are being started, and those of which not everything is over */
  readonly #open = new Map<string, Exec>();

  constructor(of: ExecsOf) {
    this.#of = of;
  }

  /**
   * @throws HuskError `not-found` for one that has no row, `conflict` for one that was started before, `start-failed`,
   * which its row then tells
   */
  async start(id: string, process: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess> {
    const sandbox = this.#of.sandbox();
    const record = this.#of.record();
    if (this.#open.has(id)) throw startedBefore(id, 'running');
    const status = record?.status(id);
    if (!status) throw noSuchExec(id);
    if (status !== 'created') throw startedBefore(id, status);
    const exec: Exec = { process: sandbox.exec(process, stdio) };
    this.#open.set(id, exec);
    try {
      const started = await exec.process;
      record?.started(id, started.pid, process.args);
      void started.exited.then(({ code }) => (exec.exitCode = code));
      return started;
    } catch (error) {
      this.#open.delete(id);
      record?.notStarted(
        id,
        error instanceof HuskError && error.kind === 'start-failed' ? error.exitCode : NOT_STARTED,
      );
      throw error;
    }
  }

  /** It has ended, and what it wrote has been read. */
  end(id: string, { code }: ExitStatus): void {
    if (this.#open.delete(id)) this.#of.record()?.ended(id, code);
  }

  /**
   * The container's life is over, and its record is about to say so: they are over, too. Their processes are killed;
   * of one whose end is not heard of in time it is said that it was.
   */
  async endAll(): Promise<void> {
    if (this.#open.size === 0) return;
    const exits = [...this.#open.values()].map(async ({ process }) => (await process).exited);
    await within(Promise.allSettled(exits), END_PATIENCE_MS);
    for (const [id, { exitCode = KILLED }] of this.#open) this.#of.record()?.ended(id, exitCode);
    this.#open.clear();
  }

  /** One that is being started is waited for. @throws HuskError with Docker's text when it does not run */
  async running(id: string): Promise<SandboxProcess> {
    const process = await this.#open.get(id)?.process.catch(() => undefined);
    if (!process) throw new HuskError(`process does not exist ${id}: not found`, { kind: 'not-found' });
    return process;
  }

  /** One that has ended gets none. */
  async signal(id: string, signal: number): Promise<void> {
    (await this.#open.get(id)?.process.catch(() => undefined))?.signal(signal);
  }
}
