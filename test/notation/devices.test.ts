import test from 'ava';
import {
  isCdiDevice,
  parseDevice,
  parseDeviceRate,
  parseDeviceRule,
  parseDeviceWeight,
} from '../../src/notation/devices.ts';

for (const [text, host, container, access] of [
  ['/dev/x', '/dev/x', '/dev/x', 'rwm'],
  ['/dev/x:r', '/dev/x', '/dev/x', 'r'],
  ['/dev/x:/dev/y', '/dev/x', '/dev/y', 'rwm'],
  ['/dev/x:/dev/y:rw', '/dev/x', '/dev/y', 'rw'],
  ['/dev/x::rw', '/dev/x', '/dev/x', 'rw'],
] as const)
  test(text, (t) => t.deepEqual(parseDevice(text), { host, container, access }));
for (const text of ['', ':/dev/y', '/dev/x:/dev/y:rw:z', '/dev/x:/dev/y:rr', '/dev/x:/dev/y:'])
  test(`no device: ${text}`, (t) =>
    void t.throws(() => parseDevice(text), { message: `invalid device specification: ${text}` }));
test('a relative place', (t) => void t.throws(() => parseDevice('/dev/x:y'), { message: 'y is not an absolute path' }));

for (const [text, is] of [
  ['nvidia.com/gpu=all', true],
  ['a/b=c', true],
  ['/dev/x', false],
  ['a/b', false],
] as const)
  test(`${text} is ${is ? 'a' : 'no'} name of CDI`, (t) => t.is(isCdiDevice(text), is));

test('a rule for devices', (t) => {
  t.deepEqual(parseDeviceRule('c 42:* rmw'), { allow: true, type: 'c', major: 42, access: 'rmw' });
  t.deepEqual(parseDeviceRule('a *:* rwm'), { allow: true, type: 'a', access: 'rwm' });
  t.throws(() => parseDeviceRule('x 1:1 r'), { message: "invalid device cgroup format 'x 1:1 r'" });
});

for (const [text, unit, rate] of [
  ['/dev/sda:1048576', 'bytes', 1_048_576],
  ['/dev/sda:1mb', 'bytes', 1_048_576],
  ['/dev/sda:2k', 'bytes', 2048],
  ['/dev/sda:100', 'operations', 100],
] as const)
  test(`${text} ${unit}`, (t) => t.deepEqual(parseDeviceRate(text, unit), { path: '/dev/sda', rate }));
test('a path with colons', (t) =>
  t.deepEqual(parseDeviceRate('/dev/disk/by-path/pci-0000:00:01:5', 'operations'), {
    path: '/dev/disk/by-path/pci-0000:00:01',
    rate: 5,
  }));

for (const [text, unit, message] of [
  ['/dev/sda:1mb', 'operations', /^invalid rate for device: \/dev\/sda:1mb\. .*Number must be a positive integer$/],
  ['/dev/sda:', 'bytes', /^invalid rate for device: \/dev\/sda:\. .*Unit is optional and can be kb, mb, or gb$/],
  ['/dev/sda', 'bytes', /^bad format: \/dev\/sda$/],
  ['sda:1', 'bytes', /^bad format for device path: sda:1$/],
] as const)
  test(`refused: ${text} of ${unit}`, (t) => void t.throws(() => parseDeviceRate(text, unit), { message }));

for (const [text, weight] of [
  ['/dev/sda:10', 10],
  ['/dev/sda:1000', 1000],
  ['/dev/sda:0', 0],
] as const)
  test(`weight ${text}`, (t) => t.deepEqual(parseDeviceWeight(text), { path: '/dev/sda', weight }));
for (const text of ['/dev/sda:9', '/dev/sda:1001', '/dev/sda:x', '/dev/sda:'])
  test(`refused: weight ${text}`, (t) =>
    void t.throws(() => parseDeviceWeight(text), { message: `invalid weight for device: ${text}` }));
