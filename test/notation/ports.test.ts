import test from 'ava';
import {
  displayPorts,
  eachPort,
  parsePublish,
  publishedEnds,
  readPorts,
  sharePort,
  type ShownPort,
} from '../../src/notation/ports.ts';

for (const [text, range] of [
  ['80', { first: 80, last: 80, protocol: 'tcp' }],
  ['8000-8010/udp', { first: 8000, last: 8010, protocol: 'udp' }],
  ['', undefined],
  ['80-', undefined],
  ['123456', undefined],
  ['80/tcp/x', undefined],
] as const)
  test(`ports of "${text}"`, (t) => t.deepEqual(readPorts(text), range));

for (const [text, ...bindings] of [
  ['80', ['', '', '80/tcp']],
  ['8080:80', ['', '8080', '80/tcp']],
  ['127.0.0.1:8080:80/udp', ['127.0.0.1', '8080', '80/udp']],
  ['127.0.0.1::80/TCP', ['127.0.0.1', '', '80/tcp']],
  ['[::1]:8080:80', ['::1', '8080', '80/tcp']],
  ['[::1]::80', ['::1', '', '80/tcp']],
  ['::1:8080:80', ['::1', '8080', '80/tcp']],
  ['80/', ['', '', '80/tcp']],
  ['8000-8010:80', ['', '8000-8010', '80/tcp']],
  ['8000-8001:80-81', ['', '8000', '80/tcp'], ['', '8001', '81/tcp']],
  ['80-81/udp', ['', '', '80/udp'], ['', '', '81/udp']],
  ['target=80,published=8080,protocol=udp', ['', '8080', '80/udp']],
  ['target=80', ['', '', '80/tcp']],
  ['target=80,mode=host', ['', '', '80/tcp']],
  ['80/sctp', ['', '', '80/sctp']],
] as [string, ...[string, string, string][]][])
  test(`published: ${text}`, (t) =>
    t.deepEqual(
      parsePublish(text).map(({ hostIp, hostPort, container }) => [hostIp, hostPort, container]),
      bindings,
    ));

for (const [text, message] of [
  [':x', 'invalid containerPort: x'],
  ['90-80', 'invalid containerPort: 90-80'],
  ['65536', 'invalid containerPort: 65536'],
  ['a:80', 'invalid hostPort: a'],
  ['70000:80', 'invalid hostPort: 70000'],
  ['1.2.3:80:80', 'invalid IP address: 1.2.3'],
  ['[::1:80', "invalid IP address [:: address [::: missing ']' in address"],
  ['80:', 'no port specified: 80:<empty>'],
  ['', 'no port specified: <empty>'],
  ['80-81:80-83', 'invalid ranges specified for container and host Ports: 80-83 and 80-81'],
  ['80/foo', 'invalid proto: foo'],
  ['published=8', 'no port specified: 8:/tcp<empty>'],
  ['=8', "invalid publish opts format (should be name=value but got '=8')"],
  ['target=80,x', "invalid publish opts format (should be name=value but got 'x')"],
  ['target=80,x=y', 'invalid publish option "x": use target, published, protocol, mode'],
  ['1.2.3.4:5:6:7', 'invalid IP address: 1.2.3.4:5'],
  ['[::1]:5:80:80', 'invalid IP address [::1]:5: address [::1]:5:: too many colons in address'],
  ['fe80::1%eth0:80:80', 'invalid IP address: fe80::1%eth0'],
] as const)
  test(`not published: ${JSON.stringify(text)}`, (t) => t.throws(() => parsePublish(text), { message }));

test('what a record has is not refused', (t) =>
  t.deepEqual(publishedEnds(['8080:80', 'x', '90-91/udp']), ['80/tcp', '90/udp', '91/udp']));

test('ranges', (t) => {
  t.deepEqual(eachPort(readPorts('90-92/udp')!), ['90/udp', '91/udp', '92/udp']);
  t.true(sharePort(readPorts('50-60')!, readPorts('60-70')!));
  t.false(sharePort(readPorts('50-60')!, readPorts('60-70/udp')!));
  t.false(sharePort(readPorts('50-60')!, readPorts('61')!));
});

/** `80/tcp`, `8080->80/tcp` at 0.0.0.0, `[::]:8080->80/tcp` */
function port(text: string): ShownPort {
  const [, ip, host, container, protocol] = /^(?:(?:(\S+):)?(\d+)->)?(\d+)\/(\w+)$/.exec(text)!;
  return {
    containerPort: Number(container),
    protocol: protocol!,
    ...(host !== undefined && { host: { ip: (ip ?? '0.0.0.0').replace(/[[\]]/g, ''), port: Number(host) } }),
  };
}

for (const [ports, shown] of [
  [[], ''],
  [['80/tcp'], '80/tcp'],
  [['90/udp', '80/tcp', '92/udp', '91/udp', '91/tcp'], '80/tcp, 91/tcp, 90-92/udp'],
  [['8080/tcp', '443/tcp', '8081/tcp'], '443/tcp, 8080-8081/tcp'],
  [['8080->80/tcp', '[::]:8080->80/tcp', '90/tcp'], '90/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp'],
  [['80->80/tcp', '81->81/tcp', '[::]:80->80/tcp'], '0.0.0.0:80-81->80-81/tcp, [::]:80->80/tcp'],
  [['127.0.0.1:1->2/udp', '53->53/udp'], '0.0.0.0:53->53/udp, 127.0.0.1:1->2/udp'],
] as [string[], string][])
  test(`PORTS of ${ports.join(' ')}`, (t) => t.is(displayPorts(ports.map(port)), shown));
