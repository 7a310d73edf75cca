/**
 * The driver journald against the real one: systemd-journald and journalctl in a mount namespace, an ordinary user's
 * containers in it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser } from '../fixtures/user.ts';

const missing = ['/lib/systemd/systemd-journald', '/usr/bin/journalctl'].filter((path) => !existsSync(path));
const why =
  process.getuid!() === 0
    ? missing.length > 0
      ? `not installed: ${missing.join(', ')} (systemd)`
      : undefined
    : 'needs root, for a journald of its own';

if (why !== undefined) test.skip(`real journald: ${why}`, () => {});
else {
  test('what containers write is in the journal, and comes back from it', (t) => {
    using user = ordinaryUser();
    const { stdout, stderr, status } = spawnSync(
      'unshare',
      [
        '--mount',
        'sh',
        join(import.meta.dirname, 'journald-host.sh'),
        HUSK,
        busyboxTar(),
        user.home,
        String(user.uid),
        String(user.gid),
      ],
      { encoding: 'utf8', timeout: 120_000 },
    );
    t.is(status, 0, stderr);
    const found = Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/: (.*)/s) as [string, string]),
    );
    t.deepEqual(found, {
      follow: '1 2 3 ',
      followed: '2 3 ',
      tail: '3',
      stderr: 'err',
      details: 'TEAM=x out',
      bytes: ' ff 0a',
      long: '20000',
      journal: '1 2 3',
    });
  });

  test('a host without a journal: one clear line', (t) => {
    using user = ordinaryUser();
    if (existsSync('/run/systemd/journal/socket')) return t.pass('this host has one');
    user.run(['sh', '-c', `"$0" import - base <"$1"`, HUSK, busyboxTar()]);
    const { status, stderr } = user.husk('run', '--log-driver=journald', 'base', 'true');
    t.is(status, 125);
    t.regex(stderr, /^Error: journald is not enabled on this host\nFix: use --log-driver json-file or local\n/);
    t.is(user.husk('ps', '-aq').stdout, '');
  });
}
