/**
 * Members of a network: what they reach, and that none can speak as another. Frames are made by hand at one member and
 * looked for at the next; ip(8), bridge(8) and nft(8) are judges.
 */
import test from 'ava';
import { ABLE, hasTun, laboratory, WHO } from './namespaces.ts';

const real = ABLE ? test : test.skip;
const title = ABLE ? '' : ', needs nft(8), ip(8) and bridge(8)';

const KINDS = WHO.flatMap((who) => [
  { who, kind: 'container' as const },
  ...(hasTun(who) ? [{ who, kind: 'machine' as const }] : []),
]);

for (const { who, kind } of KINDS)
  real(`a ${kind} speaks as itself and as nobody else (${who}${title})`, (t) => {
    const scenario = async (lab: typeof import('./namespaces.ts'), given: 'container' | 'machine') => {
      const of = lab.network();
      const thief = given === 'machine' ? await lab.machine(of, 2) : await lab.member(of, 2);
      const victim = await lab.member(of, 3);
      const judge = await lab.member(of, 4);
      const me = lab.endpoint(2);
      const [MAC, HERS, TO] = [me.mac, victim.endpoint.mac, judge.endpoint.mac];
      const [GATEWAY, STRANGE] = ['02:42:0a:00:00:01', '02:00:00:00:00:99'];
      const [IP, HER_IP, TO_IP] = ['10.0.0.2', '10.0.0.3', '10.0.0.4'];
      const [IP6, HER_IP6, TO_IP6] = ['fd00:a::2', 'fd00:a::3', 'fd00:a::4'];
      const [LINK, ALL, ALL_MAC] = ['fe80::42:aff:fe00:2', 'ff02::1', '33:33:00:00:00:01'];
      const [SOLICIT, ADVERTISE, ROUTER, REDIRECT, GROUPS] = [135, 136, 134, 137, 143];
      const vlan = (type: number, rest: Uint8Array) =>
        Buffer.concat([Buffer.from([0, 7, type >> 8, type & 0xff]), rest]);
      const frames = new Map<string, Uint8Array>();
      const add = (name: string, to: string, from: string, type: number, payload: Uint8Array) =>
        frames.set(name, lab.ethernet(to, from, type, Buffer.concat([payload, Buffer.from(`#${name}#`)])));
      const ip = (name: string, from: string, { mac = MAC, to = TO } = {}) =>
        add(name, to, mac, 0x0800, lab.ipv4(from, TO_IP, ''));
      const ip6 = (name: string, from: string, mac = MAC) => add(name, TO, mac, 0x86dd, lab.ipv6(from, TO_IP6));
      const nd = (name: string, from: string, type: number, target: string) =>
        add(name, ALL_MAC, MAC, 0x86dd, lab.ipv6(from, ALL, { type, target }));
      const arp = (name: string, sender: string, address: string, { mac = MAC, operation = 2 } = {}) =>
        add(name, lab.BROADCAST, mac, 0x0806, lab.arp(sender, address, TO_IP, operation));

      ip('ipv4', IP);
      ip6('ipv6', IP6);
      arp('arp reply', MAC, IP);
      arp('arp request', MAC, IP, { operation: 1 });
      nd('advertisement', IP6, ADVERTISE, IP6);
      nd('link-local advertisement', LINK, ADVERTISE, LINK);
      nd('advertisement from link-local', LINK, ADVERTISE, IP6);
      nd('solicitation', IP6, SOLICIT, HER_IP6);
      nd('link-local solicitation', LINK, SOLICIT, HER_IP6);
      nd('is it free', '::', SOLICIT, IP6);
      nd('is the link-local one free', '::', SOLICIT, LINK);
      const honest = [...frames.keys()].sort();

      ip('her mac', IP, { mac: HERS });
      ip('the mac of the gateway', IP, { mac: GATEWAY });
      ip('a strange mac', IP, { mac: STRANGE });
      ip('her address', HER_IP);
      ip('her address to all', HER_IP, { to: lab.BROADCAST });
      ip('the address of the gateway', '10.0.0.1');
      ip('a foreign address', '203.0.113.5');
      ip('no address', '0.0.0.0');
      ip6('her ipv6', HER_IP6);
      ip6('the ipv6 of the gateway', 'fd00:a::1');
      ip6('foreign ipv6', '2001:db8::5');
      ip6('link-local ipv6', LINK);
      ip6('no ipv6', '::');
      ip6('ipv6 with her mac', IP6, HERS);
      arp('arp of her address', MAC, HER_IP);
      arp('arp of the gateway', MAC, '10.0.0.1');
      arp('arp request of her address', MAC, HER_IP, { operation: 1 });
      arp('arp of her mac', HERS, IP);
      arp('arp of hers alone', HERS, HER_IP, { mac: HERS });
      arp('arp probe', MAC, '0.0.0.0', { operation: 1 });
      const odd = Buffer.from(lab.arp(MAC, IP, HER_IP, 2));
      odd[5] = 16; // bytes of an address: then the sender's ends elsewhere
      add('arp with long addresses', lab.BROADCAST, MAC, 0x0806, odd);
      nd('advertisement of hers', IP6, ADVERTISE, HER_IP6);
      nd('advertisement of hers from link-local', LINK, ADVERTISE, HER_IP6);
      nd('advertisement of the gateway', IP6, ADVERTISE, 'fd00:a::1');
      nd('advertisement from her', HER_IP6, ADVERTISE, HER_IP6);
      nd('solicitation from her', HER_IP6, SOLICIT, IP6);
      nd('is hers free', '::', SOLICIT, HER_IP6);
      nd('router', LINK, ROUTER, '::');
      nd('router with an address', IP6, ROUTER, '::');
      nd('redirect', LINK, REDIRECT, HER_IP6);
      nd('redirect with an address', IP6, REDIRECT, HER_IP6);
      nd('groups', LINK, GROUPS, '::');
      const behindOptions = lab.ipv6(IP6, ALL, { type: ADVERTISE, target: HER_IP6 }, { options: true });
      add('advertisement of hers behind options', ALL_MAC, MAC, 0x86dd, behindOptions);
      add('vlan', TO, MAC, 0x8100, vlan(0x0800, lab.ipv4(IP, TO_IP, '')));
      add('vlan with her address', TO, MAC, 0x8100, vlan(0x0800, lab.ipv4(HER_IP, TO_IP, '')));
      add('two vlans', TO, MAC, 0x88a8, vlan(0x8100, vlan(0x0800, lab.ipv4(HER_IP, TO_IP, ''))));
      add('another protocol', TO, MAC, 0x88cc, Buffer.alloc(20));
      add('no protocol', lab.BROADCAST, MAC, 0x0026, Buffer.alloc(40, 0x42));
      add('spanning tree', '01:80:c2:00:00:00', MAC, 0x0026, Buffer.alloc(40, 0x42));

      for (const frame of frames.values()) lab.send(thief, frame);
      lab.send(thief, lab.ethernet(TO, MAC, 0x0800, lab.ipv4(IP, TO_IP, '#end#')));
      const came = new Set<string>();
      while (!came.has('end'))
        for (const frame of lab.received(judge)) {
          const name = /#([^#]+)#/.exec(frame.toString('latin1'))?.[1];
          if (name !== undefined) came.add(name);
        }
      return { came: [...came].filter((name) => name !== 'end').sort(), honest, hostile: frames.size - honest.length };
    };
    const { came, honest, hostile } = laboratory(who, scenario, { given: kind });
    t.deepEqual(came, honest);
    t.is(hostile, 39);
  });

for (const who of WHO)
  real(`a place on the network, as ip(8) and bridge(8) see it (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const own = await lab.member(of, 2);
      await lab.member(of, 3, { isolated: true });
      const json = <T>(command: string, pid?: number) => JSON.parse(lab.judge(command, pid)) as T;
      return {
        ports: json<{ ifname: string }[]>('bridge -j -d link').toSorted((a, b) => a.ifname.localeCompare(b.ifname)),
        forwarding: json<{ mac: string }[]>('bridge -j fdb show br br0').filter(({ mac }) => mac === own.endpoint.mac),
        bridge: json<object[]>('ip -j -d link show br0')[0]!,
        portAddresses: json<{ addr_info: object[] }[]>('ip -j addr show v2')[0]!.addr_info,
        link: json<{ addr_info: { local: string }[] }[]>('ip -j addr show eth0', own.pid)[0]!,
        routes: lab.judge('ip route show default', own.pid) + lab.judge('ip -6 route show default', own.pid),
        rules: [lab.judge('ip rule'), lab.judge('ip -6 rule')].map((text) => text.split('\n')[1]),
        local: lab.judge('ip route show table 100') + lab.judge('ip -6 route show table 100'),
      };
    });
    t.is(found.ports.length, 2);
    t.like(found.ports[0], { ifname: 'v2', learning: false, flood: false, isolated: false, mcast_flood: true });
    t.like(found.ports[1], { ifname: 'v3', learning: false, flood: false, isolated: true });
    t.like(found.forwarding, [{ ifname: 'v2', state: 'static' }]);
    t.like(found.bridge, { mtu: 65520, address: '02:42:0a:00:00:01', operstate: 'UP' });
    t.like(found.bridge, { linkinfo: { info_data: { forward_delay: 0, stp_state: 0, mcast_snooping: 0 } } });
    t.deepEqual(found.portAddresses, []);
    t.like(found.link, { mtu: 65520, address: '02:42:0a:00:00:02', operstate: 'UP' });
    const address = (wanted: string) => found.link.addr_info.find(({ local }) => local === wanted);
    t.like(address('10.0.0.2'), { prefixlen: 24, broadcast: '10.0.0.255', scope: 'global' });
    t.like(address('fd00:a::2'), { prefixlen: 64, nodad: true, scope: 'global', tentative: undefined });
    t.regex(found.routes, /^default via 10\.0\.0\.1 dev eth0 ?\ndefault via fd00:a::1 dev eth0 metric 1024/);
    for (const rule of found.rules) t.regex(rule!, /^100:\tfrom all fwmark 0x1 lookup 100/);
    t.regex(found.local, /^local default dev lo .*\nlocal default dev lo /);
  });

for (const who of WHO.filter(hasTun))
  real(`a machine's place, as ip(8) and bridge(8) see it, and what it hears (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const [own, neighbour] = [await lab.machine(of, 2), await lab.member(of, 3)];
      const lonely = await lab.machine(of, 4, { isolated: true });
      const json = <T>(command: string) => JSON.parse(lab.judge(command)) as T;
      const ports = json<{ ifname: string }[]>('bridge -j -d link').toSorted((a, b) =>
        a.ifname.localeCompare(b.ifname),
      );
      const forwarding = json<{ mac: string }[]>('bridge -j fdb show br br0');
      const link = json<{ addr_info: object[] }[]>('ip -j addr show v2')[0]!;
      const question = lab.ethernet(
        lab.BROADCAST,
        own.endpoint.mac,
        0x0806,
        lab.arp(own.endpoint.mac, '10.0.0.2', '10.0.0.3', 1),
      );
      lab.send(own, question);
      const heard: Buffer[] = [];
      while (!heard.some((frame) => frame.readUInt16BE(12) === 0x0806)) heard.push(...lab.received(own));
      const answer = heard.find((frame) => frame.readUInt16BE(12) === 0x0806)!;
      // longest of all frames, to one with a tap, whole
      const long = Buffer.concat([
        lab.ethernet(
          own.endpoint.mac,
          neighbour.endpoint.mac,
          0x0800,
          lab.ipv4('10.0.0.3', '10.0.0.2', 'x'.repeat(1400)),
        ),
      ]);
      lab.send(neighbour, long);
      const whole: Buffer[] = [];
      while (!whole.some((frame) => frame.length >= 1400)) whole.push(...lab.received(own));
      own.tap.close();
      while (of.route.linkIndex('v2') !== undefined) lab.received(lonely);
      return {
        ports,
        forwarding: forwarding.filter(({ mac }) => mac === own.endpoint.mac),
        link,
        answer: answer.subarray(0, 42).toString('hex'),
        whole: whole.find((frame) => frame.length >= 1400)!.equals(long),
        links: of.route
          .links()
          .map(({ name }) => name)
          .sort(),
      };
    });
    t.like(found.ports[0], { ifname: 'v2', learning: false, flood: false, isolated: false });
    t.like(found.ports[2], { ifname: 'v4', learning: false, flood: false, isolated: true });
    t.like(found.forwarding, [{ ifname: 'v2', state: 'static' }]);
    t.like(found.link, { mtu: 65520, operstate: 'UNKNOWN', addr_info: [] });
    // to it, from the neighbour, which answers (2) that it has 10.0.0.3
    t.is(
      found.answer,
      '02420a000002' +
        '02420a000003' +
        '0806' +
        '0001080006040002' +
        '02420a000003' +
        '0a000003' +
        '02420a000002' +
        '0a000002',
    );
    t.true(found.whole);
    t.deepEqual(found.links, ['br0', 'lo', 'v3', 'v4']);
  });

for (const who of WHO)
  real(`neighbours reach each other unless they are isolated (${who}${title})`, (t) => {
    const { reach, heard } = laboratory(who, async (lab) => {
      const of = lab.network();
      const [a, b] = [await lab.member(of, 2), await lab.member(of, 3)];
      const lonely = await lab.member(of, 4, { isolated: true });
      const lonelier = await lab.member(of, 5, { isolated: true });
      for (const address of ['10.0.0.3', 'fd00:a::3']) await lab.serve(b.pid, address, 80);
      const reach = (
        [
          [a, '10.0.0.3', 80],
          [a, 'fd00:a::3', 80],
          [a, '10.0.0.3', 81],
          [lonely, '10.0.0.3', 80],
        ] as const
      ).map(([{ pid }, address, port]) => lab.connect(pid, address, port));
      const to = lonelier.endpoint.mac;
      const tell = (from: typeof a, text: string, mac = to) =>
        lab.send(from, lab.ethernet(mac, from.endpoint.mac, 0x0800, lab.ipv4(from.rules.ipv4!, '10.0.0.5', text)));
      const arp = lab.arp(lonely.endpoint.mac, '10.0.0.4', '10.0.0.5', 1);
      lab.send(lonely, lab.ethernet(lab.BROADCAST, lonely.endpoint.mac, 0x0806, arp));
      tell(lonely, 'straight');
      tell(lonely, 'by the gateway', '02:42:0a:00:00:01');
      tell(a, 'last');
      const frames: Buffer[] = [];
      while (!frames.some((frame) => frame.includes('last'))) frames.push(...lab.received(lonelier));
      // whose frames came, apart from what the gateway says by itself
      return { reach, heard: [...new Set(frames.map((frame) => frame.subarray(6, 12).toString('hex')))] };
    });
    const ECONNREFUSED = 111;
    t.deepEqual(reach, [0, 0, ECONNREFUSED, 0]);
    t.true(heard.includes('02420a000002'));
    t.false(heard.includes('02420a000004'));
  });

for (const who of WHO)
  real(`what fails is named and leaves nothing, and what goes goes whole (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const of = lab.network();
      const [a, b] = [await lab.member(of, 2), await lab.member(of, 3)];
      const attempt = (change: Partial<typeof a.endpoint>) => {
        try {
          lab.attachEndpoint(of, b, { ...lab.endpoint(9), interface: 'eth1', ...change });
          return 'nothing';
        } catch (error) {
          return (error as Error).message;
        }
      };
      const errors = [
        attempt({ port: 'v2' }),
        attempt({ interface: 'eth0' }),
        attempt({ ipv4: { address: '10.0.0.9', prefix: 99 } }),
        attempt({ ipv4: { address: '10.0.0.9', prefix: 24, gateway: '203.0.113.1' } }),
        attempt({ mac: '03:00:00:00:00:01' }),
      ];
      const names = () => of.route.links().map(({ name }) => name);
      const afterErrors = { links: names(), kept: lab.judge('nft list set bridge husk own4') };
      const ruleset = () => lab.judge('nft list table bridge husk').split('chain')[0];
      lab.detachEndpoint(of, b.endpoint);
      lab.detachEndpoint(of, b.endpoint);
      const one = { links: names(), there: b.route.linkIndex('eth0') ?? null, rules: ruleset() };
      lab.detachEndpoint(of, a.endpoint);
      return { errors, afterErrors, one, none: { links: names(), rules: ruleset() } };
    });
    // without the kernel's own words, which depend on its version
    t.deepEqual(
      found.errors.map((error) => error.replace(/link \d+/, 'link N').replace(/ \(.*\)$/, '')),
      [
        'cannot set up eth1 of the container: add link v2: file exists',
        'cannot set up eth0 of the container: add link v9: file exists',
        'cannot set up eth1 of the container: add an address to link N: invalid argument',
        'cannot set up eth1 of the container: add default route by link N: network is unreachable',
        'cannot set up eth1 of the container: add link v9: address not available',
      ],
    );
    t.deepEqual(found.afterErrors.links.sort(), ['br0', 'lo', 'v2', 'v3']);
    t.regex(found.afterErrors.kept, /elements = \{ "v2" \. 10\.0\.0\.2,\s+"v3" \. 10\.0\.0\.3 \}/);
    t.deepEqual(found.one.links.sort(), ['br0', 'lo', 'v2']);
    t.is(found.one.there, null);
    t.regex(found.one.rules!, /"v2" \. fd00:a::2/);
    t.notRegex(found.one.rules!, /"v3"/);
    t.deepEqual(found.none.links.sort(), ['br0', 'lo']);
    t.notRegex(found.none.rules!, /elements/);
  });
