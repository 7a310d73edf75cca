/** The rules of a network: as nft(8) reads them, and what they do to traffic that leaves the network or is for it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ABLE, laboratory, WHO } from './namespaces.ts';

const real = ABLE ? test : test.skip;
const title = ABLE ? '' : ', needs nft(8), ip(8) and bridge(8)';
/** errno(3) */
const ECONNREFUSED = 111;

for (const who of WHO)
  real(`nft(8) reads the rules, and loading them again changes nothing (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using socket = lab.NetfilterSocket.open();
      const members = [lab.endpointOf(2), { port: 'v3', mac: '02:42:0a:00:00:03', ipv4: '10.0.0.3' }];
      const load = () => {
        lab.networkRules(lab.BOTH, members).commit(socket);
        return lab.judge('nft list ruleset');
      };
      const once = load();
      // what was there before, and is not among the members, is gone
      lab.endpointRules(lab.endpointOf(9), 'add').commit(socket);
      return { once, twice: load() };
    });
    t.is(found.once, readFileSync(join(import.meta.dirname, 'rules.nft'), 'utf8'));
    t.is(found.twice, found.once);
  });

for (const who of WHO)
  real(`options change the rules (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using socket = lab.NetfilterSocket.open();
      const list = (rules: Parameters<typeof lab.networkRules>[0]) => {
        lab.networkRules(rules).commit(socket);
        return lab.judge('nft list ruleset');
      };
      return {
        internal: list({ ...lab.BOTH, internal: true }),
        four: list({ versions: { ip: 'nat' } }),
        six: list({ versions: { ip6: 'nat' } }),
        isolated: list({ versions: { ip: 'isolated', ip6: 'nat' }, internal: true }),
        routed: list({ ...lab.BOTH, masquerade: false }),
        metadata: list({ ...lab.BOTH, metadata: true }),
        plain: list({ ...lab.BOTH, transparent: false }),
        all: list(lab.BOTH),
      };
    });
    t.notRegex(found.internal, /masquerade|oifname/);
    t.notRegex(found.four, /goto ip6/);
    t.regex(found.four, /goto arp/);
    t.notRegex(found.six, /goto arp|@own4 goto/);
    t.regex(found.six, /goto ip6/);
    t.regex(found.isolated, /meta nfproto ipv4 goto refused/);
    t.notRegex(found.isolated, /meta nfproto ipv6 goto refused/);
    t.notRegex(found.routed, /masquerade/);
    t.regex(found.routed, /oifname "out" accept/);
    t.regex(found.metadata, /ip daddr 169\.254\.169\.254 goto leaving\n.*\n\t\tip6 daddr fd00:ec2::254 goto leaving/);
    t.notRegex(found.plain, /socket transparent/);
    t.notRegex(found.all, /169\.254\.169\.254|nfproto/);
  });

for (const who of WHO)
  real(`300 members cost as much as three (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using socket = lab.NetfilterSocket.open();
      lab.networkRules(lab.BOTH).commit(socket);
      const count = () => {
        const { nftables } = JSON.parse(lab.judge('nft -j list ruleset')) as {
          nftables: { rule?: object; set?: { name: string; elem?: object[] } }[];
        };
        const elements = nftables.flatMap(({ set }) =>
          set && ['macs', 'own4', 'own6'].includes(set.name) ? [set.elem?.length ?? 0] : [],
        );
        return { rules: nftables.filter(({ rule }) => rule).length, elements };
      };
      const member = (number: number) => ({
        port: `v${number}`,
        mac: `02:42:0a:00:0${number >> 8}:${(number & 0xff).toString(16).padStart(2, '0')}`,
        ipv4: `10.0.${number >> 8}.${number & 0xff}`,
        ipv6: `fd00:a::${number.toString(16)}`,
      });
      const add = (from: number, to: number) => {
        for (let number = from; number < to; number++) lab.endpointRules(member(number), 'add').commit(socket);
        return count();
      };
      const three = add(2, 5);
      const many = add(5, 302);
      // a repair with as many as a bridge can have
      lab
        .networkRules(
          lab.BOTH,
          Array.from({ length: 1023 }, (_, index) => member(index + 2)),
        )
        .commit(socket);
      return { three, many, most: count() };
    });
    t.deepEqual(found.three.elements, [3, 3, 3]);
    t.deepEqual(found.many, { rules: found.three.rules, elements: [300, 300, 300] });
    t.deepEqual(found.most, { rules: found.three.rules, elements: [1023, 1023, 1023] });
  });

for (const who of WHO)
  real(`out goes what may, as the address of the way out (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const far = ['198.51.100.2', '169.254.169.254/32', '169.254.1.1/32', '240.0.0.1/32', '2001:db8::2/128'];
      const outside = await lab.world([...far, 'fd00:ec2::254/128', '64:ff9b::a9fe:a9fe/128']);
      const member = await lab.member(of, 2);
      const seen = [outside.next(), outside.next6()];
      const tried = (addresses: readonly [string, number][]) =>
        addresses.map(([address, port]) => lab.connect(member.pid, address, port));
      const open = tried([
        ['198.51.100.2', 80],
        ['2001:db8::2', 80],
        ['169.254.1.1', 53],
      ]);
      const peers = open[0] === 0 && open[1] === 0 ? await Promise.all(seen) : [];
      lab.received(outside);
      const never = tried([
        ['169.254.169.254', 80],
        ['169.254.1.1', 80],
        ['169.254.2.1', 80],
        ['240.0.0.1', 80],
        ['fd00:ec2::254', 80],
        ['64:ff9b::a9fe:a9fe', 80],
      ]);
      // nothing of it came out
      const out = lab
        .received(outside)
        .filter((frame) => frame.includes(Buffer.from([10, 0, 0, 2])) || frame[23] === 6);
      // the gateway's own addresses
      await lab.serve(process.pid, '0.0.0.0', 80);
      await lab.serve(process.pid, '::', 80);
      const gateway = tried([
        ['10.0.0.1', 80],
        ['fd00:a::1', 80],
        ['169.254.2.2', 80],
        ['fd00:2::2', 80],
      ]);
      const ping = ['10.0.0.1', 'fd00:a::1'].map((address) => lab.ping(member.pid, address));
      // from outside nothing comes in by itself
      lab.judge('ip route add 10.0.0.0/24 via 169.254.2.2', outside.pid);
      lab.received(member);
      const frame = lab.ethernet(
        lab.BROADCAST,
        '02:00:00:00:00:01',
        0x0800,
        lab.ipv4('198.51.100.2', '10.0.0.2', 'in'),
      );
      frame.set(Buffer.from(lab.macOf('out').replaceAll(':', ''), 'hex'), 0);
      lab.send(outside, frame);
      lab.connect(member.pid, '10.0.0.1', 80);
      const inside = lab.received(member).filter((bytes) => bytes.includes('in')).length;
      return { open, peers, never, out: out.length, gateway, ping, inside };
    });
    t.deepEqual(found.open, [0, 0, 0]);
    t.deepEqual(found.peers, ['169.254.2.2', 'fd00:2::2']);
    t.deepEqual(found.never, Array(6).fill(ECONNREFUSED));
    t.is(found.out, 0);
    t.deepEqual(found.gateway, Array(4).fill(ECONNREFUSED));
    t.deepEqual(found.ping, [true, true]);
    t.is(found.inside, 0);
  });

for (const who of WHO)
  real(`no packet comes to a port itself, past the bridge (${who}${title})`, (t) => {
    const came = laboratory(who, async (lab) => {
      const of = lab.network();
      const member = await lab.member(of, 2);
      const { mac } = member.endpoint;
      // as the forwarder has it: for replies to a client elsewhere
      using socket = lab.transparentUdp('203.0.113.9', 4000);
      const tell = (to: string, from: string, text: string) =>
        lab.send(member, lab.ethernet(to, mac, 0x0800, lab.ipv4(from, '203.0.113.9', text)));
      // 802.1D §7.12.6: a bridge does not forward what is for these, but hands it on as if it had come to the port
      for (let last = 0; last < 16; last++) {
        tell(`01:80:c2:00:00:0${last.toString(16)}`, '10.0.0.3', 'as another');
        tell(`01:80:c2:00:00:0${last.toString(16)}`, '10.0.0.2', 'past the bridge');
      }
      tell('02:42:0a:00:00:01', '10.0.0.3', 'spoofed');
      tell('02:42:0a:00:00:01', '10.0.0.2', 'last');
      const came: string[] = [];
      while (!came.includes('last')) came.push(...lab.received({ packets: socket }).map(String));
      return came;
    });
    t.deepEqual(
      came.filter((text) => text !== 'past the bridge'),
      ['last'],
    );
  });

for (const who of WHO)
  real(`a transparent socket has its replies (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const outside = await lab.world();
      const member = await lab.member(of, 2);
      const next = await lab.serve(member.pid, '10.0.0.2', 80);
      const next6 = await lab.serve(member.pid, 'fd00:a::2', 80);
      const peers = [next(), next6()];
      lab.received(outside);
      const done = [
        lab.connect(process.pid, '10.0.0.2', 80, { from: ['203.0.113.9', 5555] }),
        lab.connect(process.pid, 'fd00:a::2', 80, { from: ['2001:db8::9', 5555] }),
        lab.connect(process.pid, '10.0.0.2', 81, { from: ['203.0.113.9', 5556] }),
      ];
      const reached = done[0] === 0 && done[1] === 0 ? await Promise.all(peers) : [];
      return { done, peers: reached, lost: lab.received(outside).filter((frame) => frame[23] === 6).length };
    });
    t.deepEqual(found.done, [0, 0, ECONNREFUSED]);
    t.deepEqual(found.peers, ['203.0.113.9', '2001:db8::9']);
    t.is(found.lost, 0);
  });

for (const who of WHO)
  real(`places for rules of single members outlive a repair (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      await lab.world(['198.51.100.2', '2001:db8::2/128']);
      const [bound, free] = [await lab.member(of, 2), await lab.member(of, 3)];
      await lab.serve(free.pid, '10.0.0.3', 80);
      const routed = { family: 'inet', name: 'husk' } as const;
      const ports = { family: 'bridge', name: 'husk' } as const;
      const { verdict } = lab.expressions;
      const refuse = verdict({ goto: 'refused' });
      const jump = { jump: 'v2' };
      const tried = () =>
        [bound, free].flatMap(({ pid }) =>
          ['198.51.100.2', '2001:db8::2', '10.0.0.3'].map((address) => lab.connect(pid, address, 80)),
        );
      const before = tried();
      const batch = new lab.NftablesBatch();
      batch.chain(routed, 'v2').rule(routed, 'v2', refuse);
      batch.addElements(routed, 'egress4', [{ key: lab.bytesOf('10.0.0.2'), verdict: jump }]);
      batch.addElements(routed, 'egress6', [{ key: lab.bytesOf('fd00:a::2'), verdict: jump }]);
      batch.commit(of.nftables);
      const outside = tried();
      const near = new lab.NftablesBatch().chain(ports, 'v2').rule(ports, 'v2', refuse);
      near.addElements(ports, 'egress', [{ key: lab.interfaceKey('v2'), verdict: jump }]).commit(of.nftables);
      lab.networkRules(lab.BOTH, [bound.rules, free.rules]).commit(of.nftables);
      const kept = lab.judge('nft list ruleset').match(/.* : jump v2/g);
      lab.received(free);
      const tell = (from: typeof bound, text: string) =>
        lab.send(
          from,
          lab.ethernet(free.endpoint.mac, from.endpoint.mac, 0x0800, lab.ipv4(from.rules.ipv4!, '10.0.0.3', text)),
        );
      tell(bound, 'refused');
      lab
        .networkRules(lab.BOTH, [bound.rules, free.rules])
        .removeElements(ports, 'egress', [{ key: lab.interfaceKey('v2'), verdict: jump }])
        .commit(of.nftables);
      tell(bound, 'granted');
      const came: string[] = [];
      while (!came.includes('granted'))
        for (const frame of lab.received(free))
          came.push(/refused|granted/.exec(frame.toString('latin1'))?.[0] ?? 'other');
      const repaired = [lab.connect(free.pid, '198.51.100.2', 80), lab.connect(free.pid, '2001:db8::2', 80)];
      return { before, outside, repaired, came, kept: kept?.map((line) => line.trim()) };
    });
    t.deepEqual(found.before, [0, 0, 0, 0, 0, 0]);
    t.deepEqual(found.outside, [ECONNREFUSED, ECONNREFUSED, 0, 0, 0, 0]);
    t.deepEqual(found.repaired, [0, 0]);
    t.false(found.came.includes('refused'));
    t.deepEqual(found.kept, [
      'elements = { "v2" : jump v2',
      'elements = { 10.0.0.2 : jump v2',
      'elements = { fd00:a::2 : jump v2',
    ]);
  });

for (const who of WHO)
  real(`a member has so many connections out and no more (${who}${title})`, (t) => {
    const { errnos, other } = laboratory(who, async (lab) => {
      const of = lab.network();
      await lab.world(['198.51.100.2']);
      const [flood, neighbour] = [await lab.member(of, 2), await lab.member(of, 3)];
      // half-open ones count: the far side has nobody at these addresses
      for (let port = 1; port <= 4096; port++) {
        const frame = lab.ipv4('10.0.0.2', '198.51.100.9', 'flood', port);
        lab.send(flood, lab.ethernet('02:42:0a:00:00:01', flood.endpoint.mac, 0x0800, frame));
      }
      return {
        errnos: lab.connect(flood.pid, '198.51.100.2', 80),
        other: lab.connect(neighbour.pid, '198.51.100.2', 80),
      };
    });
    t.is(errnos, ECONNREFUSED);
    t.is(other, 0);
  });
