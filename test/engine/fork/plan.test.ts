/** What a copy is to be: names, ports, host name, addresses; and how many there may be. */
import test from 'ava';
import type { Container } from '../../../src/engine/contract.ts';
import { copiedConfig, copiedEndpoint, copyNames, MOST_COPIES } from '../../../src/engine/fork/plan.ts';
import { createOptions } from '../fixture.ts';

const ID = 'a'.repeat(64);
const COPY = 'b'.repeat(64);

test('copies are named after the container, or as was asked for, with a number where there are several', (t) => {
  t.deepEqual(copyNames('web', [COPY]), ['web-fork-bbbbbb']);
  t.deepEqual(copyNames('web', [COPY], 'two'), ['two']);
  t.deepEqual(copyNames('web', [COPY, ID], 'two'), ['two-1', 'two-2']);
});

for (const count of [0, MOST_COPIES + 1])
  test(`${count} copies are refused`, (t) => {
    t.throws(
      () =>
        copyNames(
          'web',
          Array.from({ length: count }, () => COPY),
        ),
      {
        message: `cannot make ${count} copies at once: 1 to ${MOST_COPIES} are possible`,
      },
    );
  });

const config = (options: object, differences: object = {}) =>
  copiedConfig(
    {
      id: ID,
      config: { options: createOptions({ name: 'web', ...options }), hostname: ID.slice(0, 12), ...differences },
    } as Container,
    COPY,
  );

const PORTS: [asked: string, copied: string][] = [
  ['8080:80', '80/tcp'],
  ['53:53/udp', '53/udp'],
  ['127.0.0.1:8080:80', '127.0.0.1::80/tcp'],
  ['[::1]:8080:80', '[::1]::80/tcp'],
];
for (const [asked, copied] of PORTS)
  test(`a port published as ${asked} is a free one of the copy`, (t) => {
    t.deepEqual(config({ publish: [asked], network: 'bridge' }).options.publish, [copied]);
    t.deepEqual(config({ publish: [copied], network: 'bridge' }).options.publish, [copied]);
  });

test("a host name made of the id is the copy's own, one that was asked for stays", (t) => {
  t.is(config({}).hostname, COPY.slice(0, 12));
  t.is(config({ hostname: 'web' }, { hostname: 'web' }).hostname, 'web');
});

test("an address that was asked for is the original's alone, an alias both have", (t) => {
  const wanted = { ipv4: '10.0.0.2', ipv6: 'fd00::2', mac: '02:42:00:00:00:01', aliases: ['db'] };
  t.deepEqual(copiedEndpoint({ networkId: 'n', network: 'net', containerId: ID, wanted }, COPY), {
    networkId: 'n',
    network: 'net',
    containerId: COPY,
    wanted: { aliases: ['db'] },
  });
  const { options } = config({ networks: [{ name: 'net', ...wanted }] });
  t.deepEqual(options.networks, [{ name: 'net', aliases: ['db'] }]);
  t.is(options.name, undefined);
});
