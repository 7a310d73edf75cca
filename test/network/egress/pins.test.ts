/** What names lead to: let through before it is told, for a while, and within bounds. */
import test from 'ava';
import { groupRules } from '../../../src/network/egress/grouping.ts';
import { Pins, type Pin } from '../../../src/network/egress/pins.ts';
import { parseEgress } from '../../../src/notation/egress.ts';
import { formatIp } from '../../../src/notation/ip.ts';

function pinsOf(rules: string[], { host = [] as string[], fails = false } = {}) {
  const applied: string[] = [];
  const cut: string[] = [];
  const clock = { now: 1_000_000 };
  const pins = new Pins(groupRules(parseEgress(rules), host), {
    apply: (added: readonly Pin[]) => {
      if (fails) throw new Error('the kernel did not');
      applied.push(...added.map(({ group, address, timeout }) => `${group} ${formatIp(address)} ${timeout}`));
    },
    cut: (name, reason) => cut.push(`${name}: ${reason}`),
    now: () => clock.now,
  });
  const answer = (name: string, addresses: string[], ttl = 300) =>
    pins
      .onAnswer(
        name,
        addresses.map((address) => ({ address, ttl })),
      )
      .map(({ address }) => address);
  return { pins, answer, applied, cut, clock };
}

test("a name's addresses have the ports of every rule about it", (t) => {
  const { answer, applied } = pinsOf(['a.com:80', '*.com:443', 'b.com:22']);
  t.deepEqual(answer('a.com', ['93.184.216.34', '2606:2800::1']), ['93.184.216.34', '2606:2800::1']);
  t.deepEqual(applied, [
    '0 93.184.216.34 360000',
    '1 93.184.216.34 360000',
    '0 2606:2800::1 360000',
    '1 2606:2800::1 360000',
  ]);
});

test('rebinding: private, loopback, link-local, and the host itself are cut; a rule by address lets them be told', (t) => {
  const { answer, applied, cut } = pinsOf(['a.com:80', '10.1.0.0/16:5432'], { host: ['93.184.216.1'] });
  const bad = ['10.0.0.1', '127.0.0.1', '169.254.169.254', '::1', '::ffff:93.184.216.34', 'fd00::1', '93.184.216.1'];
  t.deepEqual(answer('a.com', [...bad, '10.1.0.7', '93.184.216.34']), ['10.1.0.7', '93.184.216.34']);
  // its own rule's ports, and none by the name
  t.deepEqual(applied, ['0 93.184.216.34 360000']);
  t.is(cut.length, bad.length);
  t.is(cut[0], 'a.com: its address 10.0.0.1 is not public, and no rule names it');
});

test('times: at least a minute, at most an hour and a minute, never shortened by another name', (t) => {
  const { answer, applied, clock } = pinsOf(['*.com']);
  answer('a.com', ['93.184.216.34'], 0);
  answer('a.com', ['93.184.216.35'], 2 ** 31 - 1);
  clock.now += 1000;
  answer('b.com', ['93.184.216.35'], 5);
  t.deepEqual(applied, ['0 93.184.216.34 60000', '0 93.184.216.35 3660000', '0 93.184.216.35 3659000']);
});

test('one answer adds 32 at most, and all names together 1024, until the time of some is over', (t) => {
  const { answer, applied, cut, clock, pins } = pinsOf(['*.com']);
  const many = (from: number) => Array.from({ length: 64 }, (_, index) => `93.0.${from}.${index}`);
  t.is(answer('a.com', many(0)).length, 32);
  for (let from = 1; from < 32; from++) t.is(answer('a.com', many(from)).length, 32);
  t.is(applied.length, 1024);
  t.throws(() => answer('a.com', many(32)), { message: '--egress: names have led to 1024 addresses already' });
  t.is(applied.length, 1024);
  t.is(cut.at(-1), 'a.com: names have led to 1024 addresses already');
  // those that are there already cost nothing
  t.is(answer('a.com', many(0)).length, 32);
  clock.now += 361_000;
  t.is(answer('a.com', many(32)).length, 32);
  t.is(pins.live().length, 32);
});

test('what is public goes by no name: any may be asked for, and nothing is added', (t) => {
  const { answer, applied } = pinsOf(['public:443']);
  t.deepEqual(answer('a.com', ['93.184.216.34', '10.0.0.1']), ['93.184.216.34']);
  t.deepEqual(applied, []);
});

test('what cannot be let through is not told', (t) => {
  const { answer, pins } = pinsOf(['a.com'], { fails: true });
  t.throws(() => answer('a.com', ['93.184.216.34']), { message: 'the kernel did not' });
  t.deepEqual(pins.live(), []);
});
