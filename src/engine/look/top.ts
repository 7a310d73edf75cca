/**
 * `top`: ps(1) on the host, reduced to the container's processes; for a VM, and on a host without ps, what the sandbox
 * itself reads.
 */
import { HuskError } from '../../errors.ts';
import { runProgram } from '../../run-program.ts';
import type { ProcessTable } from '../../sandbox.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container } from '../contract.ts';
import { ask, isRunning, notRunning } from '../record/supervisor-link.ts';
import { recordEvent } from '../record/events.ts';
import { resolve } from '../record/reconcile.ts';

/** characters of ps output read */
const MAX_OUTPUT = 16 << 20;

export async function top(context: EngineContext, reference: string, psArguments: string[]): Promise<ProcessTable> {
  const container = resolve(context, reference);
  if (!isRunning(container)) throw notRunning(container);
  if (container.state.status === 'restarting')
    throw new HuskError(`Container ${container.id} is restarting, wait until the container is running`, {
      kind: 'conflict',
    });
  // a VM's processes are the guest's: the host's ps would show strangers under the same numbers
  const table =
    container.config.isolation === 'vm'
      ? await ownPs(context, container, psArguments)
      : await hostPs(context, container, psArguments);
  recordEvent(context, container, 'top');
  return table;
}

async function hostPs(context: EngineContext, container: Container, psArguments: string[]): Promise<ProcessTable> {
  checkOptions(psArguments);
  const answer = await ask(context, container, { type: 'processes' });
  if (answer?.type !== 'ok') throw notRunning(container);
  const pids = answer.value as number[];
  const output = await psOf(pids, psArguments.length > 0 ? psArguments : ['-ef']);
  return output === undefined ? ownPs(context, container, psArguments) : parsePs(output, new Set(pids));
}

/**
 * A column called PID that holds something else would make strangers' rows the container's: moby, daemon/top_unix.go.
 */
function checkOptions(psArguments: readonly string[]): void {
  for (const [, column, title] of ` ${psArguments.join(' ')}`.matchAll(/[\s,](\S*?)=\s*(PID\S*)/g))
    if (column !== 'pid') throw new HuskError(`specifying "${column}=${title}" is not allowed`, { kind: 'invalid' });
}

/** Where there is no ps program. */
async function ownPs(context: EngineContext, container: Container, psArguments: string[]): Promise<ProcessTable> {
  const answer = await ask(context, container, { type: 'ps', options: psArguments });
  if (answer?.type !== 'ok') throw notRunning(container);
  const table = answer.value as ProcessTable;
  if (!table.titles.includes('PID')) throw noPid();
  return table;
}

/**
 * Without a list of processes ps shows those of its own user and terminal alone, whatever columns it is asked for. Some
 * of its options take no list beside them (`f`), and a list may be longer than an argument can be: then it is asked for
 * what it shows by itself, as Docker does.
 * @returns undefined when this host has no ps
 */
async function psOf(pids: readonly number[], psArguments: readonly string[]): Promise<string | undefined> {
  // ps refuses an empty list, and without any the caller's own processes would be asked about
  const listed = await ps([...psArguments, `-q${(pids.length > 0 ? pids : [process.pid]).join(',')}`]);
  if ('output' in listed || listed.code === 'ENOENT') return listed.output;
  const own = await ps(psArguments);
  if ('output' in own || own.code === 'ENOENT') return own.output;
  throw new HuskError(`ps ${psArguments.join(' ')}: ${own.problem}`, { kind: 'invalid' });
}

type PsOutcome = { output: string } | { output?: undefined; problem: string; code: string | undefined };

async function ps(psArguments: readonly string[]): Promise<PsOutcome> {
  const { stdout, stderr, exitCode, code, ended } = await runProgram('ps', psArguments, { maxOutput: MAX_OUTPUT });
  if (exitCode === 0 && ended === undefined) return { output: stdout };
  // execve(2) refuses an argument over 128 KiB (E2BIG)
  if (code !== undefined) return { problem: `spawn ${code}`, code };
  if (ended !== undefined) return { problem: 'stdout maxBuffer length exceeded', code };
  // ps prints all of its help; the first line says what is wrong
  const line = stderr.trim().split('\n')[0]!;
  return { problem: line === '' ? `Command failed: ps ${psArguments.join(' ')}` : line.replace(/^error: /, ''), code };
}

function noPid(): HuskError {
  return new HuskError("Couldn't find PID field in ps output", { kind: 'invalid' });
}

/**
 * Takes the container's rows out of what ps wrote. A row with `-` for its pid is a thread of the process above it
 * (`-m`).
 * @throws HuskError `invalid` with Docker's text when ps was not asked for a PID column
 */
export function parsePs(output: string, pids: ReadonlySet<number>): ProcessTable {
  const [head = '', ...rows] = output.split('\n');
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column === -1) throw noPid();
  const processes: string[][] = [];
  let shown = false;
  for (const row of rows) {
    const fields = row.trim().split(/\s+/);
    if (fields.length <= column) continue;
    if (fields[column] !== '-') shown = pids.has(Number(fields[column]));
    if (!shown) continue;
    // the last column, the command, may have spaces
    processes.push([...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')]);
  }
  return { titles, processes };
}
