/**
 * Connects the user's terminal (or pipes) to a container's stdio: raw mode, detach keys, resize, signals, half-close.
 * The terminal is restored however the session ends. This module knows a container only by its Attachment.
 */
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { Attachment } from '../engine/contract.ts';
import { HuskError } from '../errors.ts';
import type { Context, Output } from './grammar/command.ts';
import { DetachFilter, parseDetachKeys } from '../notation/detach-keys.ts';
import { span } from '../trace.ts';

export interface SessionOptions {
  /** whether input is sent */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** whether the container has a terminal */
  tty: boolean;
  /** `--detach-keys` as typed */
  detachKeys: string;
  /** whether signals are forwarded; Docker does not where the container has a terminal */
  signals: boolean;
}

/** signals that Docker's client forwards, as far as Node can catch them */
const PROXIED = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGCONT'] as const;
/** signals that end husk itself while the terminal is raw */
const ENDING = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const;
/**
 * Number of signals after which husk ends itself: a container that ignores them must not make husk unkillable from the
 * keyboard. docker/cli does the same.
 */
const FORCED_AFTER = 3;

/** @throws HuskError before anything is started, when a terminal is asked for and there is none */
export function checkTerminal(context: Context, options: { stdin: boolean; tty: boolean }): void {
  if (options.stdin && options.tty && !context.stdin.isTTY)
    throw new HuskError('the input device is not a TTY', {
      kind: 'invalid',
      exitCode: 1,
      fix: 'leave out -t, or run it in a terminal',
    });
}

export function consoleSize(context: Context): { columns: number; rows: number } | undefined {
  const { columns, rows } = context.stdout;
  return columns && rows ? { columns, rows } : undefined;
}

/** @returns the exit code of the process, or undefined when the user detached */
export async function runSession(
  attachment: Attachment,
  context: Context,
  options: SessionOptions,
): Promise<number | undefined> {
  using _staying = span('stay with the container');
  const keys = parseDetachKeys(options.detachKeys);
  using cleanup = new DisposableStack();
  let detached: () => void = () => {};
  const detach = new Promise<'detached'>((resolve) => (detached = () => resolve('detached')));

  const copies: Promise<void>[] = [];
  copies.push(copyOut(attachment.stdout, options.stdout ? context.stdout : undefined));
  copies.push(copyOut(attachment.stderr, options.stderr ? context.stderr : undefined));

  const raw = options.tty && options.stdin && context.stdin.isTTY === true;
  if (raw) cleanup.use(rawMode(context.stdin));
  if (options.stdin && attachment.stdin)
    cleanup.use(copyIn(context.stdin, attachment.stdin, { keys: options.tty ? keys : undefined, detached }));
  if (options.tty && context.stdout.isTTY) cleanup.use(followSize(attachment, context));
  if (options.signals && !options.tty) cleanup.use(proxySignals(attachment, context));

  const outcome = await Promise.race([attachment.exited, detach]);
  if (outcome === 'detached') {
    attachment.detach();
    cleanup.dispose();
    context.stderr.write('read escape sequence\n');
    return undefined;
  }
  // The last output of the process may still be on its way.
  await Promise.all(copies);
  cleanup.dispose();
  if (outcome.error !== undefined)
    throw new HuskError(outcome.error, { kind: 'internal', exitCode: outcome.code || 125 });
  return outcome.code;
}

/** Copies with back-pressure until the source ends. Without a target the source is drained. */
async function copyOut(source: Readable, target: Output | undefined): Promise<void> {
  try {
    for await (const chunk of source) {
      if (!target) continue;
      if (!target.write(chunk as Uint8Array)) await new Promise<void>((resolve) => target.once('drain', resolve));
    }
  } catch {
    // The supervisor is gone; `exited` reports how it ended.
  }
}

function copyIn(
  source: NodeJS.ReadStream,
  target: NonNullable<Attachment['stdin']>,
  options: { keys: Uint8Array | undefined; detached: () => void },
): Disposable {
  const filter = options.keys && options.keys.length > 0 ? new DetachFilter(options.keys) : undefined;
  const onData = (chunk: Buffer): void => {
    const { output, detached } = filter ? filter.filter(chunk) : { output: chunk, detached: false };
    if (output.length > 0 && !target.destroyed && !target.write(output)) {
      source.pause();
      target.once('drain', () => source.resume());
    }
    if (detached) options.detached();
  };
  // Half-close: the container reads end-of-file and may continue to write.
  const onEnd = (): void => void target.end();
  // The process may have closed its stdin, or have ended; neither is a failure of husk.
  const onError = (): void => void source.pause();
  source.on('data', onData);
  source.once('end', onEnd);
  source.once('error', onEnd);
  target.on('error', onError);
  return {
    [Symbol.dispose]() {
      source.off('data', onData);
      source.off('end', onEnd);
      source.off('error', onEnd);
      source.pause();
      // An open pipe would keep husk waiting for input that nobody reads.
      source.unref?.();
    },
  };
}

/**
 * Sets the terminal to raw mode, in which every key arrives as typed. The mode is restored on disposal, on exit, and
 * before a signal ends husk.
 */
export function rawMode(terminal: NodeJS.ReadStream): Disposable {
  const restore = (): void => {
    try {
      terminal.setRawMode(false);
    } catch {
      // The terminal is gone.
    }
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    restore();
    process.exit(128 + constants.signals[signal]);
  };
  terminal.setRawMode(true);
  plainOutput(terminal);
  process.once('exit', restore);
  for (const signal of ENDING) process.once(signal, onSignal);
  return {
    [Symbol.dispose]() {
      restore();
      process.off('exit', restore);
      for (const signal of ENDING) process.off(signal, onSignal);
    },
  };
}

/**
 * Switches output processing off, because Node's raw mode leaves ONLCR on: the container's terminal has converted line
 * ends already, and a program that draws (vim) sends a bare line feed to go down one row. setRawMode(false) restores
 * all of the former mode.
 */
function plainOutput(terminal: NodeJS.ReadStream): void {
  const { fd } = terminal as { fd?: number };
  if (fd === undefined) return;
  // stty is a program of 3 ms, and FFI for the call would load more than that; the module is loaded here, because most
  // runs have no terminal.
  process.getBuiltinModule('node:child_process').spawnSync('stty', ['-opost'], { stdio: [fd, 'ignore', 'ignore'] });
}

function followSize(attachment: Attachment, context: Context): Disposable {
  const send = (): void => {
    const size = consoleSize(context);
    if (size) attachment.resize(size.columns, size.rows);
  };
  context.stdout.on('resize', send);
  send();
  return { [Symbol.dispose]: () => void context.stdout.off('resize', send) };
}

function proxySignals(attachment: Attachment, context: Context): Disposable {
  let asked = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    attachment.signal(constants.signals[signal]);
    if ((signal === 'SIGINT' || signal === 'SIGTERM') && ++asked >= FORCED_AFTER) {
      context.stderr.write(`\ngot ${FORCED_AFTER} SIGTERM/SIGINTs, forcefully exiting\n`);
      process.exit(1);
    }
  };
  for (const signal of PROXIED) process.on(signal, onSignal);
  return {
    [Symbol.dispose]() {
      for (const signal of PROXIED) process.off(signal, onSignal);
    },
  };
}
