/**
 * For how long a container stands still while it is copied, and how long the copying command takes, as JSON lines to
 * $VMHOST_OUT/facts: `fork.ts FOLDER ROOT`, in the test host. What is written of a machine beforehand, while it runs,
 * is its command's and not its standstill's.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { Home } from './home.ts';

const [made, root] = process.argv.slice(2) as [string, string];
const FORKS = 3;

const home = new Home(root, made);
home.configure({ 'vm-start': 'template' });
// its command has worked: 16 MiB of its memory are its own
const WORK = 'dd if=/dev/urandom of=/dev/shm/kept bs=1M count=16; echo written; exec sleep 10000';
const run = ['run', '--isolation=vm', '-m', '256m', '--network', 'none'];
// the first of this size has its template made, and the second goes on from it
home.run(...run, '--rm', 'husk/base', 'true');
await home.templateMade();
home.run(...run, '-d', '--name', 'one', 'husk/base', 'sh', '-c', WORK);
while (!home.run('logs', 'one').includes('written'));
for (let number = 1; number <= FORKS; number++) {
  const start = performance.now();
  home.run('fork', '--name', `copy-${number}`, 'one');
  const command = performance.now() - start;
  home.run('rm', '-f', `copy-${number}`);
  const told = home.run('events', '--since', '1h', '--until', '0s', '--filter', 'event=fork');
  const standstill = Number(/.*standstill=(\d+)/s.exec(told)![1]);
  const value = {
    section: 'fork',
    vmm: 'template',
    what: `copy ${number}`,
    times: { standstill, all: command },
    marks: {},
  };
  appendFileSync(join(process.env['VMHOST_OUT']!, 'facts'), `${JSON.stringify(value)}\n`);
}
home.run('rm', '-f', 'one');
process.exit(0);
