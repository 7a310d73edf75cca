/** A way out that does not come: the container starts all the same, and whoever started it is told why. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { wayOutProblem } from '../../../src/network/way-out.ts';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { HUSK, ROOT } from '../../fixtures/user.ts';
import { people, type Person } from './people.ts';

const ready = existsSync(join(ROOT, 'dist/husk.cjs')) && missingImageTools() === undefined;
const everybody = ready ? people() : [];
const folder = mkdtempSync('/var/tmp/husk-pasta-');
chmodSync(folder, 0o755);
test.after.always(() => {
  everybody.forEach((person) => person[Symbol.dispose]());
  rmSync(folder, { recursive: true });
});

const TUN = '/dev/net/tun';
/** mode bits by which others read and write */
const OTHERS = 0o006;

/** A pasta that says why it does not begin, each time. */
writeFileSync(join(folder, 'pasta'), '#!/bin/sh\necho "no luck today" >&2\nexit 1\n', { mode: 0o755 });

function withPasta(person: Person, ...args: string[]) {
  const { status, stdout, stderr } = person.run(['env', `PATH=${folder}:/usr/bin:/bin`, HUSK, ...args]);
  return { status, stdout, stderr: stderr.trim() };
}

for (const person of everybody) {
  test.serial(`a network that is to have no way out misses none (${person.name})`, (t) => {
    t.is(person.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
    t.is(person.husk('import', 'i.tar', 'box').status, 0);
    t.is(person.husk('network', 'create', '--internal', 'inside').status, 0);
    const { status, stderr } = withPasta(person, 'run', '--rm', '--network=inside', 'box', 'true');
    t.deepEqual([status, stderr], [0, '']);
  });

  const root = person.name === 'root' && wayOutProblem(`${folder}:/usr/bin`) === undefined;
  (root ? test.serial : test.serial.skip)(
    `pasta's own words reach whoever asked for the start (${person.name}${root ? '' : ': needs root and /dev/net/tun'})`,
    (t) => {
      const warning = /^WARNING: network bridge has no way out: no luck today$/;
      const attached = withPasta(person, 'run', '--rm', 'box', 'echo', 'there');
      t.deepEqual([attached.status, attached.stdout], [0, 'there\n']);
      t.regex(attached.stderr, warning);
      // whether it starts a keeper or finds the one of before, which is there for some seconds yet
      const detached = withPasta(person, 'run', '-d', '--name=box', 'box', 'sleep', '1000');
      t.is(detached.status, 0);
      t.regex(detached.stderr, warning);
      // the keeper is the one that it has started
      const beside = withPasta(person, 'run', '--rm', 'box', 'true');
      t.regex(beside.stderr, warning);
      t.is(person.husk('stop', '-t0', 'box').status, 0);
      const again = withPasta(person, 'start', 'box');
      t.deepEqual([again.status, again.stdout], [0, 'box\n']);
      t.regex(again.stderr, warning);
      t.is(person.husk('rm', '-f', 'box').status, 0);
    },
  );

  (root ? test.serial : test.serial.skip)(
    `a network that began without a way out says so once there could be one (${person.name}${root ? '' : ': needs root and /dev/net/tun'})`,
    (t) => {
      t.is(person.husk('network', 'create', 'late').status, 0);
      const start = ['run', '-d', '--name=first', '--network=late', 'box', 'sleep', '1000'];
      // in a mount namespace of its own, where the device is not
      const first = person.run([
        'unshare',
        '-m',
        'sh',
        '-c',
        'mount -t tmpfs none /dev/net && exec "$@"',
        'sh',
        HUSK,
        ...start,
      ]);
      t.is(first.status, 0, first.stderr);
      t.regex(first.stderr, /^WARNING: .*\/dev\/net\/tun: no such device: it reaches other containers/);
      const second = person.husk('run', '--rm', '--network=late', 'box', 'true');
      t.is(second.status, 0);
      t.regex(
        second.stderr,
        /^WARNING: network late has no way out: there was none to be had when .*\(fix: stop those/,
      );
      t.is(person.husk('rm', '-f', 'first').status, 0);
      t.is(person.husk('network', 'rm', 'late').status, 0);
    },
  );

  const closed = person.name === 'user' && existsSync(TUN) && (statSync(TUN).mode & OTHERS) !== OTHERS;
  (closed ? test.serial : test.serial.skip)(
    `a device that is closed is told of once (${person.name}${closed ? '' : ": needs a /dev/net/tun that is root's alone"})`,
    (t) => {
      const first = withPasta(person, 'run', '--rm', 'box', 'true');
      t.regex(first.stderr, /^WARNING: .*\/dev\/net\/tun: permission denied: it reaches other containers/);
      t.is(withPasta(person, 'run', '--rm', 'box', 'true').stderr, '');
    },
  );
}
