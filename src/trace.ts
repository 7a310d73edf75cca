/**
 * HUSK_TRACE=FILE: one timeline of all processes of a command, in Chrome's trace event format (the JSON array form,
 * whose closing bracket viewers do not require). Every process appends whole lines with O_APPEND, so the processes need
 * not know of each other; all times are CLOCK_MONOTONIC.
 *
 * Where the variable is not set the trace costs one comparison. The variable is read only from the environment of husk
 * itself, never from an image or a record, and husk's own processes inherit it: a container has an environment of its
 * own.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { causeOf, HuskError } from './errors.ts';

/** TRACE_VARIABLE of launcher/husk.c */
const VARIABLE = 'HUSK_TRACE';
/** mode of the file, which shows when this user ran what */
const MODE = 0o600;

/**
 * Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU; times in
 * microseconds
 */
type Event =
  | { ph: 'X'; name: string; pid: number; ts: number; dur: number }
  | { ph: 'M'; name: 'process_name'; pid: number; args: { name: string } };

/** The file is kept open, because its name may become another user's file later. */
let file: number | undefined;

const now = (): number => Number(process.hrtime.bigint() / 1000n);

function write(event: Event): void {
  if (file === undefined) return;
  const whole =
    event.ph === 'X' ? { ...event, ts: Math.round(event.ts), dur: Math.max(0, Math.round(event.dur)) } : event;
  try {
    writeSync(file, `${JSON.stringify({ ...whole, tid: event.pid })},\n`);
  } catch (error) {
    // A timeline with gaps would be misread, so the trace ends here.
    closeSync(file);
    file = undefined;
    process.stderr.write(`WARNING: the trace ends here: cannot write it: ${causeOf(error)}\n`);
  }
}

/**
 * Opens the trace where HUSK_TRACE asks for one, and records how Node started in this process and how long husk's own
 * code took to load.
 * @param name name of this process on the timeline
 * @throws HuskError when the file cannot be written
 */
export function openTrace(name: string): void {
  const path = process.env[VARIABLE];
  if (!path) return;
  try {
    file = openSync(
      resolve(path),
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOCTTY,
      MODE,
    );
    // The launcher writes the bracket; without a launcher (the sources, the library) the first process does.
    if (fstatSync(file).size === 0) writeSync(file, '[\n');
  } catch (error) {
    throw new HuskError(`cannot write the trace ${path}: ${causeOf(error)}`, {
      kind: 'invalid',
      exitCode: 125,
      fix: `name another file in ${VARIABLE}, or unset it`,
      cause: error,
    });
  }
  nameProcess(name);
  const { nodeStart, v8Start, environment, bootstrapComplete } = performance.nodeTiming;
  const origin = now() - performance.now() * 1000;
  const steps = [nodeStart, v8Start, environment, bootstrapComplete, performance.now()];
  ['Node starts', 'V8 starts', 'Node makes its environment', 'husk loads'].forEach((step, index) => {
    const [from, to] = [steps[index]! * 1000, steps[index + 1]! * 1000];
    write({ ph: 'X', name: step, pid: process.pid, ts: origin + from, dur: to - from });
  });
  const main = span(name);
  process.once('exit', () => main[Symbol.dispose]());
}

/** Gives a process its name on the timeline. */
export function nameProcess(name: string, pid: number = process.pid): void {
  if (file !== undefined) write({ ph: 'M', name: 'process_name', pid, args: { name } });
}

const NOTHING: Disposable = { [Symbol.dispose]() {} };

/**
 * Records how long something takes, from the call to its disposal. Spans of one process must be nested; work that runs
 * beside other work needs a lane of its own.
 * @param pid the process that is waited for, where it cannot write its own events
 * @example using _opening = span('open the database');
 */
export function span(name: string, pid: number = process.pid): Disposable {
  if (file === undefined) return NOTHING;
  const ts = now();
  return { [Symbol.dispose]: () => write({ ph: 'X', name, pid, ts, dur: now() - ts }) };
}
