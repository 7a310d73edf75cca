/** `top`: ps(1) on the host, reduced to the container's processes; for a VM, and on a host without ps, what the sandbox itself reads. */
import { execFile } from 'node:child_process';
import { HuskError } from '../errors.ts';
import type { ProcessTable } from '../sandbox.ts';
import type { EngineContext } from './context.ts';
import type { Container } from './contract.ts';
import { ask, isRunning, notRunning } from './control.ts';
import { recordEvent } from './events.ts';
import { resolve } from './truth.ts';

/** bytes of ps output read */
const MAX_OUTPUT = 16 << 20;

export async function top(context: EngineContext, reference: string, psArguments: string[]): Promise<ProcessTable> {
  const container = resolve(context, reference);
  if (!isRunning(container)) throw notRunning(container);
  if (container.state.status === 'restarting') throw new HuskError(`Container ${container.id} is restarting, wait until the container is running`, { kind: 'conflict' });
  // a VM's processes are the guest's: the host's ps would show strangers under the same numbers
  const table = container.config.isolation === 'vm' ? await ownPs(context, container, psArguments) : await hostPs(context, container, psArguments);
  recordEvent(context, container, 'top');
  return table;
}

async function hostPs(context: EngineContext, container: Container, psArguments: string[]): Promise<ProcessTable> {
  const answer = await ask(context, container, { type: 'processes' });
  if (answer?.type !== 'ok') throw notRunning(container);
  const output = await ps(psArguments.length > 0 ? psArguments : ['-ef']);
  return output === undefined ? ownPs(context, container, psArguments) : parsePs(output, new Set(answer.value as number[]));
}

/** Where there is no ps program. */
async function ownPs(context: EngineContext, container: Container, psArguments: string[]): Promise<ProcessTable> {
  const answer = await ask(context, container, { type: 'ps', options: psArguments });
  if (answer?.type !== 'ok') throw notRunning(container);
  const table = answer.value as ProcessTable;
  if (!table.titles.includes('PID')) throw noPid();
  return table;
}

/** @returns undefined when this host has no ps */
function ps(psArguments: string[]): Promise<string | undefined> {
  return new Promise((done, fail) => {
    execFile('ps', psArguments, { maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) => {
      if (!error) return done(stdout);
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return done(undefined);
      // of the many lines of its help the first says what is wrong
      fail(new HuskError(`ps ${psArguments.join(' ')}: ${stderr.trim().split('\n')[0] || error.message}`, { kind: 'invalid' }));
    });
  });
}

function noPid(): HuskError {
  return new HuskError("Couldn't find PID field in ps output", { kind: 'invalid' });
}

/** @throws HuskError `invalid` with Docker's text when ps was not asked for a PID column */
export function parsePs(output: string, pids: ReadonlySet<number>): ProcessTable {
  const [head = '', ...rows] = output.split('\n');
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column === -1) throw noPid();
  const processes: string[][] = [];
  for (const row of rows) {
    const fields = row.trim().split(/\s+/);
    if (!pids.has(Number(fields[column]))) continue;
    // the last column, the command, may have spaces
    processes.push([...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')]);
  }
  return { titles, processes };
}
