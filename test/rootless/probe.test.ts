/** What `husk doctor` says of hosts unlike this one: facts are given, nothing of the machine is changed. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { namespaceFix } from '../../src/launch/failure.ts';
import { HuskError } from '../../src/errors.ts';
import { kernel } from '../../src/rootless/doctor.ts';
import { atLeast, fileSystem, probeDevice, probeMapper, probeRanges, probeSwitches } from '../../src/rootless/probe.ts';
import { networkStats, parseStat } from '../../src/container/processes/tree.ts';
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

test('doctor on this host: containers can run, and it leaves nothing; what a killed one leaves is swept', (t) => {
  const { stdout, stderr } = asUser(`
    const tmp = 'data/husk/tmp', names = new Set();
    fs.mkdirSync(tmp, { recursive: true });
    const watcher = fs.watch(tmp, (_, name) => names.add(name));
    const { doctor } = await load('engine/look/doctor.ts'); const { paths } = await load('paths.ts');
    const facts = await doctor(paths({ dataRoot: resolve('data/husk') }));
    console.log(facts.filter(({ status }) => status === 'fail').map(({ name, value }) => name + ': ' + value).join('; '));
    // what 'virtual machines' says follows from the facts before it, which have a fix
    console.log(facts.filter(({ name, status, fix }) => status !== 'ok' && !fix && name !== 'virtual machines').map(({ name }) => name).join(), fs.readdirSync('data/husk/tmp').length, new Set(facts.map(({ name }) => name)).size === facts.length);
    watcher.close();
    // the sweep of tmp/ knows a name by its owner: this process, which \`own\` counts
    for (const name of names) fs.mkdirSync(tmp + '/' + name);
    const { abandoned } = await load('state/tmp-folder.ts');
    console.log(names.size, abandoned({ tmp }, 'tree', { own: true }).length);
  `);
  t.is(stderr, '');
  t.is(stdout, '\n 0 true\n1 1\n');
});

test('/proc/PID/stat with a hostile name', (t) => {
  const line = (name: string) =>
    `42 (${name}) S 7 42 42 0 -1 4194304 1 0 0 0 11 22 0 0 20 0 1 0 987654 1000 33 18446744073709551615`;
  for (const name of ['sh', 'a) Z 1 (b', ') ) )', 'x\ny', ''])
    t.deepEqual(parseStat(line(name)), {
      pid: 42,
      state: 'S',
      parent: 7,
      userTicks: 11,
      systemTicks: 22,
      startTime: '987654',
      residentPages: 33,
    });
  for (const text of ['', '42', '42 (x', '42 (x) S']) t.is(parseStat(text), undefined);
});

const NET_DEV =
  'Inter-| \n face |\n    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n' +
  '  eth0: 20 1 2 3 0 0 0 0 30 4 5 6\n eth1:5 1 0 0 0 0 0 0 6 1\n__proto__: 1 0 0 0 0 0 0 0 0\nrubbish\n';

test('network figures leave loopback out, and name each other interface', (t) => {
  const { interfaces, ...sums } = networkStats(NET_DEV);
  t.deepEqual(sums, { networkReceivedBytes: 26, networkSentBytes: 36 });
  t.deepEqual(Object.keys(interfaces!), ['eth0', 'eth1', '__proto__']);
  t.deepEqual(interfaces!['eth0'], {
    receivedBytes: 20,
    receivedPackets: 1,
    receiveErrors: 2,
    receiveDropped: 3,
    sentBytes: 30,
    sentPackets: 4,
    sendErrors: 5,
    sendDropped: 6,
  });
  t.is(interfaces!['eth1']!.sendDropped, 0);
});

test('a container that makes interfaces by the thousand makes no large sample', (t) => {
  const lines = Array.from({ length: 5000 }, (_, index) => `d${index}: 1 0 0 0 0 0 0 0 2`);
  const { interfaces, ...sums } = networkStats(`\n\n${lines.join('\n')}`);
  t.is(Object.keys(interfaces!).length, 64);
  t.deepEqual(sums, { networkReceivedBytes: 5000, networkSentBytes: 10_000 });
});

test('of the network of the host there are no figures', (t) =>
  t.deepEqual(networkStats(undefined), { networkReceivedBytes: 0, networkSentBytes: 0 }));
