/**
 * setup/first-run: whether it makes the parts of a virtual machine. husk and make are stand-ins that note what they are
 * asked; KVM is a file.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { ROOT } from '../fixtures/user.ts';

interface Machine {
  /** what `husk doctor` says, before make has run and after */
  doctor: string[];
  kvm?: boolean;
  made?: boolean;
  makeFails?: boolean;
}

function firstRun({ doctor, kvm = true, made = false, makeFails = false }: Machine) {
  const folder = temporaryFolder('husk-first-run-');
  for (const name of ['bin', 'setup', 'dist']) mkdirSync(join(folder, name));
  for (const name of ['first-run', 'base-tree']) copyFileSync(join(ROOT, 'setup', name), join(folder, 'setup', name));
  const program = (name: string, body: string) => {
    writeFileSync(join(folder, name), `#!/bin/sh\ncd ${folder}\necho "${name} $*" >>asked\n${body}`);
    chmodSync(join(folder, name), 0o755);
  };
  doctor.forEach((text, index) => writeFileSync(join(folder, `doctor-${index}`), text));
  program(
    'bin/husk',
    `case $1 in doctor) if [ -e ran-make ]; then cat doctor-1; else cat doctor-0; fi; exit 1 ;; run) echo ran ;; esac`,
  );
  program('make', makeFails ? 'echo no such package >&2; exit 2' : 'touch ran-make');
  if (kvm) writeFileSync(join(folder, 'kvm'), '');
  if (made) writeFileSync(join(folder, 'dist/vmlinux'), 'x');
  const { status, stdout, stderr } = spawnSync(join(folder, 'setup/first-run'), [], {
    env: { PATH: process.env['PATH'], MAKE: join(folder, 'make'), KVM: join(folder, 'kvm') },
    encoding: 'utf8',
  });
  const asked = readFileSync(join(folder, 'asked'), 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([name]) => name !== '');
  return {
    status,
    stdout,
    stderr,
    makes: asked.filter(([name]) => name === 'make').map((words) => words.slice(-2).join(' ')),
    doctors: asked.filter(([, word]) => word === 'doctor').length,
  };
}

const FIT = 'kvm speed=ok\nvm parts=warn\nvirtual machines=warn\n';
const WITH_PARTS = 'kvm speed=ok\nvm parts=ok\nvirtual machines=ok\n';

test('a machine without a KVM is not asked, and makes nothing', (t) => {
  const { status, makes, doctors, stdout } = firstRun({ doctor: [FIT], kvm: false });
  t.deepEqual({ status, makes, doctors }, { status: 0, makes: [], doctors: 0 });
  t.regex(stdout, /^ran\n\nThat was a container of yours: no daemon/m);
});

test('a KVM that interprets its guests makes nothing', (t) => {
  const { status, makes, stdout } = firstRun({ doctor: ['kvm speed=warn\nvm parts=warn\nvirtual machines=warn\n'] });
  t.deepEqual({ status, makes }, { status: 0, makes: [] });
  t.notRegex(stdout, /virtual machine/);
});

test('a fit one gets a kernel and the disks, and runs a virtual machine', (t) => {
  const { status, makes, stdout } = firstRun({ doctor: [FIT, WITH_PARTS] });
  t.deepEqual({ status, makes }, { status: 0, makes: ['set-up-vm vm'] });
  t.regex(stdout, /fit for virtual machines: making what they are made of, once/);
  t.regex(stdout, /^That was a container of yours, in a virtual machine of its own: no daemon/m);
});

test('what is there is only brought up to date', (t) => {
  const { makes, stdout } = firstRun({ doctor: [WITH_PARTS, WITH_PARTS], made: true });
  t.deepEqual(makes, ['set-up-vm vm']);
  t.notRegex(stdout, /once: a guest kernel/);
});

test('parts that cannot be made are said, and a container runs all the same', (t) => {
  const { status, stdout, stderr } = firstRun({ doctor: [FIT], makeFails: true });
  t.is(status, 0);
  t.regex(
    stderr,
    /no such package\nthat failed \(above\), so this container runs in user namespaces; 'make set-up-vm vm' tries again\n/,
  );
  t.regex(stdout, /^ran$/m);
});
