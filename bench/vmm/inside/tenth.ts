/**
 * What each of ten idle machines out of one template adds to the memory in use, as JSON lines to $VMHOST_OUT/facts:
 * `tenth.ts FOLDER ROOT`, in the test host. PSS counts a page that several processes share in parts, so that what one
 * more adds is the difference of the sums over all of husk's processes.
 */
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { vmSize } from '../../../src/supervisor/machine-parts.ts';
import { Home } from './home.ts';
import { pss } from './pss.ts';

const [made, root] = process.argv.slice(2) as [string, string];
const MACHINES = 10;
/** ms after which a supervisor has given back what it will, and V8 collected what it means to */
const SETTLE = 20_000;

const home = new Home(root, made);
home.configure({ 'vm-start': 'template' });
home.sleeper();
await home.templateMade();
home.run('rm', '-f', home.run('ps', '-q'));

let last = 0;
for (let number = 1; number <= MACHINES; number++) {
  last = home.sleeper();
  if (number === 1 || number >= MACHINES - 1) {
    await sleep(SETTLE);
    fact(number);
  }
}
process.exit(0);

function fact(number: number): void {
  const value = {
    section: 'tenth',
    vmm: 'template',
    what: `machine ${number}`,
    number,
    all: sum(),
    pss: pss(last, vmSize({}).memory),
    marks: {},
  };
  appendFileSync(join(process.env['VMHOST_OUT']!, 'facts'), `${JSON.stringify(value)}\n`);
}

/** KiB of all of husk's processes */
function sum(): number {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && readText(`/proc/${pid}/cmdline`).startsWith('husk'))
    .reduce((all, pid) => all + Number(/^Pss:\s+(\d+)/m.exec(readText(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0), 0);
}

/** '' of a process that has ended */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
