/** `top`: ps(1) on the host, reduced to the container's processes. */
import { execFile } from 'node:child_process';
import { HuskError } from '../errors.ts';
import type { EngineContext } from './context.ts';
import { ask, isRunning, notRunning } from './control.ts';
import { resolve } from './truth.ts';

/** bytes of ps output read */
const MAX_OUTPUT = 16 << 20;

export async function top(context: EngineContext, reference: string, psArguments: string[]): Promise<{ titles: string[]; processes: string[][] }> {
  const container = resolve(context, reference);
  if (!isRunning(container)) throw notRunning(container);
  // the sandbox's pids are the guest's: the host's ps would show strangers under the same numbers
  if (container.config.isolation === 'vm') throw new HuskError(`top of a VM container is not there yet: ${reference}`, { kind: 'unsupported', fix: `husk exec ${reference} ps` });
  const answer = await ask(context, container, { type: 'processes' });
  if (answer?.type !== 'ok') throw notRunning(container);
  return parsePs(await ps(psArguments.length > 0 ? psArguments : ['-ef']), new Set(answer.value as number[]));
}

function ps(psArguments: string[]): Promise<string> {
  return new Promise((done, fail) => {
    execFile('ps', psArguments, { maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) => {
      if (!error) return done(stdout);
      fail(new HuskError(`ps ${psArguments.join(' ')}: ${stderr.trim() || error.message}`, { kind: 'invalid', fix: (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'apt install procps' : undefined }));
    });
  });
}

/** @throws HuskError `invalid` with Docker's text when ps was not asked for a PID column */
export function parsePs(output: string, pids: ReadonlySet<number>): { titles: string[]; processes: string[][] } {
  const [head = '', ...rows] = output.split('\n');
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column === -1) throw new HuskError("Couldn't find PID field in ps output", { kind: 'invalid' });
  const processes: string[][] = [];
  for (const row of rows) {
    const fields = row.trim().split(/\s+/);
    if (!pids.has(Number(fields[column]))) continue;
    // the last column, the command, may have spaces
    processes.push([...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')]);
  }
  return { titles, processes };
}
