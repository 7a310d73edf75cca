/**
 * The packet filter of containers with --egress, in a namespace: what of theirs comes out of the network or to a
 * neighbour and what does not, by rules and by what a hostile container sends; and that nothing of it is left.
 */
import test from 'ava';
import { ABLE, laboratory, WHO } from '../namespaces.ts';

const real = ABLE ? test : test.skip;
const title = ABLE ? '' : ', needs nft(8), ip(8) and bridge(8)';
/** errno(3) */
const ECONNREFUSED = 111;

for (const who of WHO)
  real(`what rules allow leaves the network, and nothing else (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const addresses = ['93.184.216.34/32', '93.184.216.35/32', '8.8.8.8/32', '2606:2800::1/128', '2606:2800::2/128'];
      const outside = await lab.world([...addresses, '198.51.100.2/32']);
      const member = await lab.member(of, 2);
      const free = await lab.member(of, 3);
      const egress = lab.egress.group(['example.com:80', '93.184.216.35:53', '[2606:2800::2]:80/tcp'], []);
      lab.egress.admit(of, egress, member);
      const example = egress.groups.findIndex(({ names }) => names.length > 0);
      const pin = (address: string, timeout: number) =>
        lab.egress.pin(of, member, [{ group: example, address, timeout }]);
      const connect = (address: string, port: number, from = member) => lab.connect(from.pid, address, port);
      const before = [connect('93.184.216.34', 80), connect('2606:2800::1', 80)];
      pin('93.184.216.34', 3_600_000);
      pin('2606:2800::1', 3_600_000);
      const allowed = [
        connect('93.184.216.34', 80),
        connect('2606:2800::1', 80),
        connect('93.184.216.35', 53),
        connect('2606:2800::2', 80),
      ];
      lab.received(outside);
      const refused = {
        'another port of the name (DoT has 853)': connect('93.184.216.34', 853),
        'a neighbour of its address': connect('93.184.216.35', 80),
        'another address': connect('198.51.100.2', 80),
        'a resolver of the world, by TCP': connect('8.8.8.8', 53),
        'another port by IPv6': connect('2606:2800::2', 53),
        metadata: connect('169.254.169.254', 80),
        'the resolver of the way out': connect('169.254.1.1', 53),
      };
      const udp = lab.ethernet(
        '02:42:0a:00:00:01',
        member.endpoint.mac,
        0x0800,
        lab.ipv4('10.0.0.2', '8.8.8.8', 'question'),
      );
      lab.send(member, udp);
      const ping = lab.ping(member.pid, '93.184.216.34');
      const out = lab.received(outside).filter((frame) => frame.includes('question') || frame[23] === 1).length;
      const free80 = connect('198.51.100.2', 80, free);
      // a shorter life in place of the longer one, and nothing after it
      pin('93.184.216.34', 1);
      let after = 0;
      while ((after = connect('93.184.216.34', 80)) === 0);
      return { before, allowed, refused, ping, out, free80, after };
    });
    t.deepEqual(found.before, [ECONNREFUSED, ECONNREFUSED]);
    t.deepEqual(found.allowed, [0, 0, 0, 0]);
    for (const [what, errno] of Object.entries(found.refused)) t.is(errno, ECONNREFUSED, what);
    t.false(found.ping);
    t.is(found.out, 0);
    t.is(found.free80, 0);
    t.is(found.after, ECONNREFUSED);
  });

for (const who of WHO)
  real(`public is neither private nor the host's own; none is nothing (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const world = ['93.184.216.34/32', '192.168.7.7/32', '100.64.0.1/32', '203.0.114.9/32', '2606:2800::1/128'];
      await lab.world([...world, 'fd99::1/128', '2001:db8::7/128']);
      const tried = async (number: number, rules: string[]) => {
        const member = await lab.member(of, number);
        lab.egress.admit(of, lab.egress.group(rules, ['203.0.114.9', 'fe80::1']), member);
        const to = [
          '93.184.216.34',
          '2606:2800::1',
          '192.168.7.7',
          '100.64.0.1',
          '203.0.114.9',
          'fd99::1',
          '2001:db8::7',
        ];
        return to.map((address) => (lab.connect(member.pid, address, 80) === 0 ? address : '')).filter(Boolean);
      };
      return {
        public: await tried(2, ['public']),
        port: await tried(3, ['public:53']),
        none: await tried(4, ['none']),
        host: await tried(5, ['host:80/tcp']),
        both: await tried(6, ['public:80', '192.168.0.0/16', '192.168.7.0/24:80', 'fd00::/8']),
      };
    });
    t.deepEqual(found, {
      public: ['93.184.216.34', '2606:2800::1'],
      port: [],
      none: [],
      host: ['203.0.114.9'],
      both: ['93.184.216.34', '2606:2800::1', '192.168.7.7', 'fd99::1'],
    });
  });

for (const who of WHO)
  real(`neighbours are reached as rules say, and answer whom they may (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const [member, other, third] = [await lab.member(of, 2), await lab.member(of, 3), await lab.member(of, 4)];
      const egress = lab.egress.group(['db:80', '10.0.0.4/32:53'], []);
      lab.egress.admit(of, egress, member);
      const group = egress.groups.findIndex(({ neighbours }) => neighbours.length > 0);
      const serve = (at: typeof member, ports: number[]) =>
        Promise.all(
          ports.flatMap((port) => [lab.serve(at.pid, at.rules.ipv4!, port), lab.serve(at.pid, at.rules.ipv6!, port)]),
        );
      await serve(member, [80]);
      await serve(other, [80, 81]);
      await serve(third, [53, 80]);
      const reaches = (from: typeof member, to: typeof member, port: number) =>
        [to.rules.ipv4!, to.rules.ipv6!].map((address) => lab.connect(from.pid, address, port) === 0);
      // what is dropped is not answered: it waits for nobody here, as nothing is let through
      const tell = (frame: Uint8Array) => {
        lab.received(other);
        lab.send(member, frame);
        lab.send(
          third,
          lab.ethernet(other.endpoint.mac, third.endpoint.mac, 0x0800, lab.ipv4('10.0.0.4', '10.0.0.3', 'end')),
        );
        for (const frames: Buffer[] = []; ;) {
          frames.push(...lab.received(other));
          if (frames.some((each) => each.includes('end'))) return frames.some((each) => each.includes('probe'));
        }
      };
      const frame = (to: string, payload: Uint8Array) => lab.ethernet(to, member.endpoint.mac, 0x0800, payload);
      const probe = lab.ipv4('10.0.0.2', '10.0.0.3', 'probe');
      const fragment = Buffer.from(lab.ipv4('10.0.0.2', '10.0.0.3', 'probe'));
      // at an offset, so that it has no header of UDP
      fragment.writeUInt16BE(1, 6);
      const spoofed = lab.ipv4('10.0.0.4', '10.0.0.3', 'probe');
      const sent = {
        UDP: tell(frame(other.endpoint.mac, probe)),
        'UDP to everybody': tell(frame(lab.BROADCAST, probe)),
        'a fragment': tell(frame(other.endpoint.mac, lab.egress.withChecksum(fragment))),
        'as another': tell(frame(other.endpoint.mac, spoofed)),
        'an opening SYN': tell(frame(other.endpoint.mac, lab.egress.tcp('10.0.0.2', '10.0.0.3', 81, 0x02, 'probe'))),
        'an opening SYN with more flags': tell(
          frame(other.endpoint.mac, lab.egress.tcp('10.0.0.2', '10.0.0.3', 81, 0x2b, 'probe')),
        ),
        'a header of TCP that is cut off': tell(
          frame(other.endpoint.mac, lab.egress.tcp('10.0.0.2', '10.0.0.3', 81, 0x10, 'probe').subarray(0, 32)),
        ),
      };
      const icmp = lab.ping(member.pid, '10.0.0.3');
      const begun = lab.egress.near(of, member, [
        { group, address: '10.0.0.3', what: 'add' },
        { group, address: 'fd00:a::3', what: 'add' },
      ]);
      const open = { named: reaches(member, other, 80), by: reaches(member, third, 53).slice(0, 1) };
      const back = [reaches(other, member, 80), lab.ping(other.pid, '10.0.0.2'), lab.ping(other.pid, 'fd00:a::2')];
      const gateway = lab.ping(member.pid, '10.0.0.1');
      const otherPort = tell(frame(other.endpoint.mac, lab.egress.tcp('10.0.0.2', '10.0.0.3', 81, 0x02, 'probe')));
      lab.egress.near(of, member, [{ group, address: '10.0.0.3', what: 'remove' }]);
      const gone = tell(frame(other.endpoint.mac, lab.egress.tcp('10.0.0.2', '10.0.0.3', 80, 0x02, 'probe')));
      return { sent, icmp, begun, open, back, gateway, otherPort, gone };
    });
    for (const [what, came] of Object.entries(found.sent)) t.false(came, what);
    t.false(found.icmp);
    t.deepEqual(found.open, { named: [true, true], by: [true] });
    t.deepEqual(found.back, [[true, true], true, true]);
    t.true(found.gateway);
    t.false(found.otherPort);
    t.false(found.gone);
  });

for (const who of WHO)
  real(`a repair keeps it, its end leaves nothing, and another with its address is free (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      await lab.world(['93.184.216.34/32', '93.184.216.35/32']);
      const fresh = lab.judge('nft list ruleset');
      const [member, bound] = [await lab.member(of, 2), await lab.member(of, 3)];
      const plain = lab.judge('nft list ruleset');
      const rules = ['example.com:80,8000-8010', '*.example.com:80', 'db', '10.1.0.0/16', 'public/udp', '[fd00::/8]:5'];
      const many = Array.from({ length: 200 }, (_, index) => `10.2.${index}.0/24:${index + 1}`);
      const egress = lab.egress.group([...rules, ...many], []);
      lab.egress.admit(of, egress, member);
      lab.egress.pin(of, member, [{ group: 0, address: '93.184.216.34', timeout: 3_600_000 }]);
      const tried = () => ['93.184.216.34', '93.184.216.35'].map((address) => lab.connect(member.pid, address, 80));
      const first = tried();
      const once = lab.judge('nft list ruleset');
      // a neighbour that has gone while nobody looked: who repairs it looks for all of them anew
      lab.egress.near(of, member, [{ group: 2, address: '10.0.0.9', what: 'add' }]);
      lab.networkRules(lab.BOTH, [member.rules, bound.rules]).commit(of.nftables);
      lab.egress.admit(of, egress, member);
      const again = tried();
      const timeless = (text: string) => text.replace(/ (expires|timeout) [\dhms]+/g, '');
      // what counts flows is the kernel's own to fill
      const standing = (text: string) => text.replace(/\n\s*elements = \{[^}]*ct count[^}]*\}/g, '');
      const same = timeless(lab.judge('nft list ruleset')) === timeless(once);
      lab.egress.admit(of, lab.egress.group(['none'], []), bound);
      lab.egress.remove(of, (port) => port === member.rules.port);
      lab.egress.remove(of, (port) => port === member.rules.port);
      const freed = tried();
      const others = lab.connect(bound.pid, '93.184.216.34', 80);
      // of one that was killed, whose address and MAC the next has
      const ports = lab.egress.ports(of);
      lab.egress.remove(of, () => true);
      return {
        first,
        again,
        same,
        freed,
        others,
        ports,
        left: standing(lab.judge('nft list ruleset')),
        plain: standing(plain),
        fresh: fresh.length,
      };
    });
    t.deepEqual(found.first, [0, ECONNREFUSED]);
    t.deepEqual(found.again, [0, ECONNREFUSED]);
    t.true(found.same);
    t.deepEqual(found.freed, [0, 0]);
    t.is(found.others, ECONNREFUSED);
    t.deepEqual(found.ports, ['v3']);
    t.is(found.left, found.plain);
  });

for (const who of WHO)
  real(`what is refused is told to whoever has the group, and not more than so much (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      await lab.world(['93.184.216.34/32']);
      const [member, other] = [await lab.member(of, 2), await lab.member(of, 3)];
      const told: [string, string, string, number][] = [];
      const open = (first: number, log: typeof told) =>
        lab.egress.openLog(lab.egress.logSocket(), first, ({ word, bytes }) => {
          const head = lab.egress.readHead(bytes)!;
          log.push([word, head.protocol, head.destination, head.port ?? 0]);
        });
      const log = open(77, told);
      const second = open(77, []);
      const groups = [log.group, second.group];
      const egress = lab.egress.group(['93.184.216.34:81'], []);
      lab.egress.admit(of, egress, member, log.group);
      const until = async (count: number) => {
        while (told.length < count) await new Promise((heard) => setImmediate(heard));
      };
      lab.connect(member.pid, '93.184.216.34', 80);
      await until(1);
      lab.connect(member.pid, 'fd00:ec2::254', 80);
      await until(2);
      lab.connect(member.pid, '10.0.0.1', 22);
      await until(3);
      const say = (from: string) =>
        lab.send(
          member,
          lab.ethernet(other.endpoint.mac, member.endpoint.mac, 0x0800, lab.ipv4(from, '10.0.0.3', 'x')),
        );
      say('10.0.0.2');
      await until(4);
      say('10.0.0.9');
      await until(5);
      const each = told.splice(0);
      for (let count = 0; count < 500; count++) say('10.0.0.2');
      lab.connect(member.pid, '93.184.216.34', 79);
      while (!told.some(([, , , port]) => port === 79)) await new Promise((heard) => setImmediate(heard));
      return { groups, each, flood: told.length };
    });
    t.deepEqual(found.groups, [77, 78]);
    t.deepEqual(found.each, [
      ['out', 'tcp', '93.184.216.34', 80],
      ['out', 'tcp', 'fd00:ec2::254', 80],
      ['out', 'tcp', '10.0.0.1', 22],
      ['near', 'udp', '10.0.0.3', 4000],
      ['spoofed', 'udp', '10.0.0.3', 4000],
    ]);
    t.true(found.flood > 10 && found.flood < 200, String(found.flood));
  });
