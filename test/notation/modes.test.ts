import test from 'ava';
import {
  joinedContainer,
  modeText,
  networkName,
  parseCgroupnsMode,
  parseIpcMode,
  parseNetworkMode,
  parsePidMode,
  parseUsernsMode,
  parseUtsMode,
  readNetworkMode,
} from '../../src/notation/modes.ts';

for (const [text, mode, shown] of [
  ['', { kind: 'default' }, 'bridge'],
  ['default', { kind: 'default' }, 'bridge'],
  ['bridge', { kind: 'named', name: 'bridge' }, 'bridge'],
  ['none', { kind: 'none' }, 'none'],
  ['host', { kind: 'host' }, 'host'],
  ['mine', { kind: 'named', name: 'mine' }, 'mine'],
  ['container:a:b', { kind: 'container', name: 'a:b' }, 'container:a:b'],
] as const)
  test(`--network "${text}"`, (t) => {
    t.deepEqual(parseNetworkMode(text), mode);
    t.is(networkName(readNetworkMode(text)), shown);
  });

test('of the others', (t) => {
  t.deepEqual(parseIpcMode('private'), { kind: 'private' });
  t.deepEqual(parseIpcMode('shareable'), { kind: 'shareable' });
  t.deepEqual(parseIpcMode('container:x'), { kind: 'container', name: 'x' });
  t.deepEqual(parsePidMode(undefined), { kind: 'private' });
  t.deepEqual(parseUtsMode('host'), { kind: 'host' });
  t.deepEqual(parseCgroupnsMode('private'), { kind: 'private' });
  t.is(modeText(parsePidMode('container:x')), 'container:x');
  t.is(joinedContainer('container:'), '');
  t.is(joinedContainer('host'), undefined);
});

for (const [text, mode] of [
  ['', { kind: 'default' }],
  ['host', { kind: 'host' }],
  ['private', { kind: 'private' }],
  ['keep-id', { kind: 'keep-id' }],
  ['keep-id:uid=1,gid=2', { kind: 'keep-id', uid: 1, gid: 2 }],
] as const)
  test(`--userns "${text}"`, (t) => t.deepEqual(parseUsernsMode(text), mode));

for (const [parse, text, message] of [
  [parseNetworkMode, 'container:', '--network: invalid container format container:<name|id>'],
  [parseIpcMode, 'container:', '--ipc: invalid container format container:<name|id>'],
  [parseIpcMode, 'mine', '--ipc: invalid IPC mode: mine'],
  [parsePidMode, 'private', '--pid: invalid PID mode'],
  [parseUtsMode, 'container:x', '--uts: invalid UTS mode'],
  [parseCgroupnsMode, 'container:x', '--cgroupns: invalid CGROUP mode'],
  [parseUsernsMode, 'private:', '--userns: invalid USER mode'],
  // only keep-id has a part after it
  [parseUsernsMode, 'host:x', '--userns: invalid USER mode'],
  [parseUsernsMode, ':x', '--userns: invalid USER mode'],
] as const)
  test(`refused: ${parse.name} "${text}"`, (t) => void t.throws(() => parse(text), { message }));
