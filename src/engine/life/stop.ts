/** `stop`, `restart`, `kill`, `pause`, `unpause`, `resize`: what is asked of a running container's supervisor. */
import { parseSignal } from '../../notation/signals.ts';
import { HuskError } from '../../errors.ts';
import { within } from '../../long-timer.ts';
import type { Request } from '../../supervisor/protocol/protocol.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container } from '../contract.ts';
import { ask, isRunning, isUnreachable, reread } from '../record/supervisor-link.ts';
import { recordEvent } from '../record/events.ts';
import { signalProcess } from '../record/kill-process.ts';
import { start } from './start.ts';
import { resolve } from '../record/reconcile.ts';
import { waitUntilStopped } from './wait.ts';

const SIGKILL = 9;
const SIGTERM = 15;
/** ms that `kill` waits for the end of what SIGKILL ends, as Docker's daemon */
const KILL_PATIENCE = 10_000;
/** u16 of struct winsize, ioctl_tty(2) */
const MAX_TERMINAL_SIZE = 0xffff;

export interface StopOptions {
  /** seconds; -1 waits for ever */
  timeout?: number;
  signal?: string;
}

/** A container that is not running is fine: Docker says nothing either. */
export async function stop(context: EngineContext, reference: string, options: StopOptions = {}): Promise<void> {
  const signal = options.signal === undefined ? undefined : parseSignal(options.signal);
  const container = resolve(context, reference);
  if (!isRunning(container)) return;
  let reached = true;
  try {
    await ask(context, container, { type: 'stop', timeout: options.timeout, signal });
  } catch (error) {
    // without its socket it ends its container at SIGTERM, as at a logout, by the container's own stop signal and grace
    reached = !(isUnreachable(error) && signalProcess(reread(context, container.id)?.state.supervisor, SIGTERM));
    if (reached) throw error;
  }
  await waitUntilStopped(context, container.id);
  // a logout is not a person's wish, and its restart policy would hold after the next
  if (!reached) context.store.change(container.id, (state) => ({ ...state, stoppedByUser: true }));
  recordEvent(context, container, 'stop');
}

export async function restart(context: EngineContext, reference: string, options: StopOptions = {}): Promise<void> {
  const container = resolve(context, reference);
  await stop(context, container.id, options);
  await start(context, container.id);
  recordEvent(context, container, 'restart');
}

export async function kill(context: EngineContext, reference: string, signalName: string): Promise<void> {
  const signal = parseSignal(signalName);
  const container = resolve(context, reference);
  if (!isRunning(container) || !(await ask(context, container, { type: 'signal', signal, byUser: true })))
    throw new HuskError(`cannot kill container: ${reference}: container ${container.id} is not running`, {
      kind: 'conflict',
    });
  // Clients look at once, and count on it that it runs no more. The signal is sent, however long its end takes.
  if (signal === SIGKILL) await within(waitUntilStopped(context, container.id), KILL_PATIENCE);
}

export async function pause(
  context: EngineContext,
  reference: string,
  { swapOut }: { swapOut?: boolean | undefined } = {},
): Promise<void> {
  const container = resolve(context, reference);
  if (container.state.status === 'paused')
    throw new HuskError(`Container ${container.id} is already paused`, { kind: 'conflict' });
  if (container.state.status === 'restarting')
    throw new HuskError(`Container ${container.id} is restarting, wait until the container is running`, {
      kind: 'conflict',
    });
  await mustAnswer(context, container, { type: 'pause', swapOut });
}

export async function unpause(context: EngineContext, reference: string): Promise<void> {
  const container = resolve(context, reference);
  if (container.state.status !== 'paused')
    throw new HuskError(`Container ${container.id} is not paused`, { kind: 'conflict' });
  await mustAnswer(context, container, { type: 'unpause' });
}

export async function resize(
  context: EngineContext,
  reference: string,
  { columns, rows }: { columns: number; rows: number },
): Promise<void> {
  for (const size of [columns, rows])
    if (!Number.isInteger(size) || size < 0 || size > MAX_TERMINAL_SIZE)
      throw new HuskError(
        `invalid size of a terminal: ${columns} columns, ${rows} rows: each is a whole number, 0-${MAX_TERMINAL_SIZE}`,
        { kind: 'invalid' },
      );
  await mustAnswer(context, resolve(context, reference), { type: 'resize', columns, rows });
}

async function mustAnswer(context: EngineContext, container: Container, request: Request): Promise<void> {
  if (!isRunning(container) || !(await ask(context, container, request)))
    throw new HuskError(`container ${container.id} is not running`, { kind: 'conflict' });
}
