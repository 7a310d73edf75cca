/** The door: what was typed as values, and what is refused there. The words of single options: test/notation. */
import test from 'ava';
import type { CreateOptions } from '../../../src/engine/contract.ts';
import { asksForLimits, readRequest } from '../../../src/engine/request/request.ts';
import { createOptions } from '../create/spec/options.ts';

const read = (changes: Partial<CreateOptions> = {}) => readRequest(createOptions(changes));

test('everything is a value', (t) => {
  const { devices, cdiDevices, deviceRules, tmpfs, publish, expose, extraHosts, log } = read({
    devices: ['/dev/fuse:rw', 'a/b=c'],
    deviceRules: ['c 1:* r'],
    tmpfs: { '/t': 'rw,size=1m' },
    publish: ['8080:80'],
    expose: ['90'],
    extraHosts: ['db:host-gateway'],
    logDriver: 'local',
    logOptions: { 'max-size': '1m' },
  });
  t.deepEqual(devices, [{ text: '/dev/fuse:rw', host: '/dev/fuse', container: '/dev/fuse', access: 'rw' }]);
  t.deepEqual(cdiDevices, ['a/b=c']);
  t.deepEqual(deviceRules, [{ text: 'c 1:* r', rule: { allow: true, type: 'c', major: 1, access: 'r' } }]);
  t.deepEqual(tmpfs, [{ destination: '/t', options: ['rw', 'size=1m'] }]);
  t.deepEqual(publish, [{ hostIp: '', hostPort: '8080', container: '80/tcp' }]);
  t.deepEqual(expose, ['90/tcp']);
  t.deepEqual(extraHosts, [{ name: 'db', ip: 'host-gateway' }]);
  t.deepEqual(log, { driver: 'local', options: { 'max-size': '1m' } });
});

for (const [title, options] of [
  ['a mode', { ipc: 'some' }],
  ['a device', { devices: ['/dev/x:y'] }],
  ['a rule', { deviceRules: ['x'] }],
  ['a rate', { resources: { deviceReadBps: ['/dev/sda:x'] } }],
  ['a weight', { resources: { blkioWeightDevice: ['/dev/sda:x'] } }],
  ['a host', { extraHosts: ['db'] }],
  ['a tmpfs', { tmpfs: { '/t': 'x' } }],
  [
    'a mount',
    { mounts: [{ type: 'bind', source: '/', target: '/t', readonly: false, options: ['rx'], createSource: true }] },
  ],
  ['a security option', { securityOpt: ['x'] }],
  ['a size', { shmSize: -1 }],
  ['a score', { oomScoreAdj: -1001 }],
] as [string, Partial<CreateOptions>][])
  test(`refused at the door: ${title}`, (t) => {
    const error = t.throws(() => read(options), { name: 'HuskError' });
    t.like(error, { kind: 'invalid' });
  });

test('what is typed stays as it was, for the record', (t) => {
  const options = createOptions({ devices: ['/dev/fuse'], securityOpt: ['no-new-privileges'] });
  const before = JSON.stringify(options);
  readRequest(options);
  t.is(JSON.stringify(options), before);
});

test('whether limits are asked for', (t) => {
  t.false(asksForLimits(read()));
  t.false(asksForLimits(read({ resources: { memory: 0, deviceReadBps: [] } })));
  t.true(asksForLimits(read({ resources: { deviceReadBps: ['/dev/sda:1'] } })));
  t.true(asksForLimits(read({ cgroupParent: 'x' })));
});
