/** What `husk doctor` says of hosts unlike this one: facts are given, nothing of the machine is changed. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { namespaceFix } from '../../src/launch/failure.ts';
import { HuskError } from '../../src/errors.ts';
import { kernel } from '../../src/rootless/doctor.ts';
import { atLeast, fileSystem, probeDevice, probeMapper, probeRanges, probeSwitches } from '../../src/rootless/probe.ts';
import { networkBytes, parseStat } from '../../src/container/processes/tree.ts';
import { asUser } from './containers.ts';

const files = (facts: Record<string, string>) => (path: string) =>
  Object.entries(facts).find(([name]) => path.endsWith(`/${name}`))?.[1];

for (const [title, uid, facts, ok, fix] of [
  ['an ordinary Debian', 1000, { max_user_namespaces: '96365\n', unprivileged_userns_clone: '1\n' }, true, undefined],
  ['no such kernel feature', 1000, {}, false, /CONFIG_USER_NS/],
  ['the limit is zero', 1000, { max_user_namespaces: '0\n' }, false, /sysctl user\.max_user_namespaces/],
  ['the limit is zero, for root too', 0, { max_user_namespaces: '0\n' }, false, /sysctl user\.max_user_namespaces/],
  [
    "Debian's switch",
    1000,
    { max_user_namespaces: '5', unprivileged_userns_clone: '0' },
    false,
    /sysctl kernel\.unprivileged_userns_clone=1/,
  ],
  [
    "Ubuntu's switch",
    1000,
    { max_user_namespaces: '5', apparmor_restrict_unprivileged_userns: '1' },
    false,
    /sysctl kernel\.apparmor_restrict_unprivileged_userns=0/,
  ],
  [
    'the switches do not bind root',
    0,
    { max_user_namespaces: '5', unprivileged_userns_clone: '0', apparmor_restrict_unprivileged_userns: '1' },
    true,
    undefined,
  ],
] as [string, number, Record<string, string>, boolean, RegExp | undefined][]) {
  test(`user namespaces: ${title}`, (t) => {
    const probe = probeSwitches(uid, files(facts));
    t.is(probe.ok, ok);
    if (fix) t.regex(probe.fix!, fix);
    else t.is(probe.fix, undefined);
  });
}

for (const [title, errno, facts, fix] of [
  ['too many', 28, {}, /max_user_namespaces/],
  ['refused, switch off', 1, { unprivileged_userns_clone: '0' }, /unprivileged_userns_clone/],
  ['refused, AppArmor', 1, { apparmor_restrict_unprivileged_userns: '1' }, /apparmor/],
  ['refused, no switch', 1, {}, /inside another container/],
  ['not compiled in', 22, {}, /CONFIG_USER_NS/],
] as [string, number, Record<string, string>, RegExp][]) {
  test(`unshare fails: ${title}`, (t) => t.regex(namespaceFix(errno, files(facts))!, fix));
}

for (const [release, ok] of [
  ['6.1.0-18-amd64', true],
  ['5.12.0', true],
  ['5.11.22', false],
  ['4.19', false],
  ['10.0', true],
  ['nonsense', false],
] as const)
  test(`kernel ${release}: ${ok}`, (t) => t.is(kernel(release).ok, ok));
test('versions are compared as numbers', (t) =>
  t.deepEqual([atLeast('5.9', 5, 11), atLeast('5.11', 5, 11), atLeast('6.0', 5, 11)], [false, true, true]));

test('newuidmap: absent, without privilege, as it should be', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-probe-'));
  t.deepEqual(probeMapper('uid', folder), { ok: false, value: 'not installed', fix: 'apt install uidmap' });
  writeFileSync(join(folder, 'newuidmap'), '');
  chmodSync(join(folder, 'newuidmap'), 0o755);
  t.regex(probeMapper('uid', folder).value, /not setuid/);
  rmSync(folder, { recursive: true });
});

test('subordinate ids: few, many, none', (t) => {
  const maps = (size: number) => () => ({
    uid: [
      { containerID: 0, hostID: 1000, size: 1 },
      { containerID: 1, hostID: 100_000, size },
    ],
    gid: [{ containerID: 0, hostID: 1000, size: 70_000 }],
    direct: false,
  });
  t.true(probeRanges(maps(65_536)).ok);
  t.false(probeRanges(maps(1000)).ok);
  const none = probeRanges(() => {
    throw new HuskError('no range', { kind: 'unsupported', fix: 'usermod' });
  });
  t.deepEqual(none, { ok: false, value: 'no range', fix: 'usermod' });
});

test('devices and file systems', (t) => {
  t.is(probeDevice('/dev/no-such-device').value, 'no such device');
  t.true(probeDevice('/dev/null').ok);
  t.true(fileSystem('/var/tmp/not/made/yet').freeBytes > 0);
  t.is(fileSystem('/dev/shm').name, 'tmpfs');
});

test('doctor on this host: containers can run, and it leaves nothing', (t) => {
  const { stdout, stderr } = asUser(`
    const { doctor } = await load('rootless/doctor.ts'); const { paths } = await load('paths.ts');
    const facts = await doctor(paths({ dataRoot: resolve('data/husk') }));
    console.log(facts.filter(({ status }) => status === 'fail').map(({ name, value }) => name + ': ' + value).join('; '));
    console.log(facts.filter(({ status, fix }) => status !== 'ok' && !fix).map(({ name }) => name).join(), fs.readdirSync('data/husk/tmp').length, new Set(facts.map(({ name }) => name)).size === facts.length);
  `);
  t.is(stderr, '');
  t.is(stdout, '\n 0 true\n');
});

test('/proc/PID/stat with a hostile name', (t) => {
  const line = (name: string) =>
    `42 (${name}) S 7 42 42 0 -1 4194304 1 0 0 0 11 22 0 0 20 0 1 0 987654 1000 33 18446744073709551615`;
  for (const name of ['sh', 'a) Z 1 (b', ') ) )', 'x\ny', ''])
    t.deepEqual(parseStat(line(name)), {
      pid: 42,
      state: 'S',
      parent: 7,
      cpuTicks: 33,
      startTime: '987654',
      residentPages: 33,
    });
  for (const text of ['', '42', '42 (x', '42 (x) S']) t.is(parseStat(text), undefined);
});

test('network bytes leave loopback out', (t) => {
  t.deepEqual(
    networkBytes(
      'Inter-| \n face |\n    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n  eth0: 20 1 0 0 0 0 0 0 30 1 0\n eth1:5 1 0 0 0 0 0 0 6 1\nrubbish\n',
    ),
    { networkReceivedBytes: 25, networkSentBytes: 36 },
  );
});
