/** Rules put together by their ports; which names may be asked for, and where an answer may lead. */
import test from 'ava';
import { groupRules, isNamed, mayAsk, mayBeAnswered } from '../../../src/network/egress/grouping.ts';
import { parseEgress } from '../../../src/notation/egress.ts';
import { parseIp } from '../../../src/notation/ip.ts';

const of = (rules: string[], host: string[] = []) => groupRules(parseEgress(rules), host);

test('rules of one protocol and the same ports are one group, in whatever order the ports are', (t) => {
  const rules = ['a.com:443,80', 'db:80,443', '10.0.0.0/8:80,443', 'a.com:80,443/tcp', 'public', '10.0.0.0/8', 'x'];
  const { groups } = of(rules);
  t.deepEqual(
    groups.map(({ protocols, ports, names, neighbours, ranges, public: isPublic }) => [
      protocols,
      ports.length,
      names.length,
      neighbours,
      ranges[4].length,
      isPublic,
    ]),
    [
      [['tcp', 'udp'], 2, 1, ['a.com', 'db'], 1, false],
      [['tcp'], 2, 1, ['a.com'], 0, false],
      [undefined, 0, 0, ['x'], 1, true],
    ],
  );
});

test('none is no group at all', (t) => t.deepEqual(of(['none']).groups, []));

test("host is the host's addresses, those of one link left out", (t) => {
  const { groups, host } = of(['host:80'], ['192.0.2.7', 'fe80::1%eth0', '2001:db8::7']);
  t.is(host.length, 2);
  t.deepEqual([groups[0]!.ranges[4].length, groups[0]!.ranges[6].length], [1, 1]);
});

test('which names may be asked for', (t) => {
  const rules = of(['example.com:443', '*.example.org', 'db', '10.0.0.0/8']);
  for (const name of ['example.com', 'a.example.org', 'a.b.example.org']) t.true(mayAsk(rules, name), name);
  for (const name of ['www.example.com', 'example.org', 'db', 'example.net']) t.false(mayAsk(rules, name), name);
  t.true(mayAsk(of(['public']), 'anything.net'));
  t.false(mayAsk(of(['none']), 'anything.net'));
});

test('where an answer may lead', (t) => {
  const rules = of(['example.com', '10.1.0.0/16:5432', 'public'], ['93.184.216.1']);
  const may = (text: string) => [mayBeAnswered(rules, parseIp(text)!), isNamed(rules, parseIp(text)!)];
  t.deepEqual(may('93.184.216.34'), [true, false]);
  t.deepEqual(may('10.1.2.3'), [false, true]);
  t.deepEqual(may('10.2.2.3'), [false, false]);
  // a public address of the host's own
  t.deepEqual(may('93.184.216.1'), [false, false]);
});
