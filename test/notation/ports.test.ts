import test from 'ava';
import { displayPorts, eachPort, readPortBinding, readPorts, sharePort } from '../../src/notation/ports.ts';

for (const [text, range] of [
  ['80', { first: 80, last: 80, protocol: 'tcp' }],
  ['8000-8010/udp', { first: 8000, last: 8010, protocol: 'udp' }],
  ['', undefined],
  ['80-', undefined],
  ['123456', undefined],
  ['80/tcp/x', undefined],
] as const)
  test(`ports of "${text}"`, (t) => t.deepEqual(readPorts(text), range));

for (const [text, hostIp, hostPort, container] of [
  ['80', '', '', '80/tcp'],
  ['8080:80', '', '8080', '80/tcp'],
  ['127.0.0.1:8080:80/udp', '127.0.0.1', '8080', '80/udp'],
  ['[::1]:8080:80', '[::1]', '8080', '80/tcp'],
] as const)
  test(`published: ${text}`, (t) => t.deepEqual(readPortBinding(text), { hostIp, hostPort, container }));

test('ranges', (t) => {
  t.deepEqual(eachPort(readPorts('90-92/udp')!), ['90/udp', '91/udp', '92/udp']);
  t.true(sharePort(readPorts('50-60')!, readPorts('60-70')!));
  t.false(sharePort(readPorts('50-60')!, readPorts('60-70/udp')!));
  t.false(sharePort(readPorts('50-60')!, readPorts('61')!));
});

for (const [ports, shown] of [
  [[], ''],
  [['80/tcp'], '80/tcp'],
  [['90/udp', '80/tcp', '92/udp', '91/udp', '91/tcp'], '80/tcp, 90-92/udp, 91/tcp'],
  [['8080/tcp', '443/tcp', '8081/tcp'], '443/tcp, 8080-8081/tcp'],
] as const)
  test(`PORTS of ${ports.join(' ')}`, (t) => t.is(displayPorts(ports), shown));
