/** Netlink sockets and what goes over them: answers, refusals, strangers' messages, batches. */
import test from 'ava';
import { addressBytes, macBytes, macText } from '../../../src/host/streams/address-bytes.ts';
import { attribute, nested, readAttributes, u32 } from '../../../src/host/streams/netlink-attributes.ts';
import { concatenate, interfaceKey } from '../../../src/host/streams/nftables.ts';
import { ABLE, laboratory, WHO } from '../../network/namespaces.ts';

const real = ABLE ? test : test.skip;
const title = ABLE ? '' : ', needs nft(8), ip(8) and bridge(8)';

test('attributes have a length, a type and padding, and are read again', (t) => {
  t.is(Buffer.from(attribute(3, Buffer.from('abc\0d'))).toString('hex'), '090003006162630064000000');
  const bytes = Buffer.concat([attribute(1, u32(7)), nested(2, attribute(5, Buffer.from('x')))]);
  const read = readAttributes(bytes);
  t.is(read.get(1)!.readUInt32LE(0), 7);
  t.is(readAttributes(read.get(2)!).get(5)!.toString(), 'x');
  t.throws(() => attribute(1, new Uint8Array(65532)), { instanceOf: RangeError });
});

for (const [name, hex] of [
  ['shorter than its header', '03000100'],
  ['longer than what is there', '40000100aabbccdd'],
  ['cut off', '0800'],
  ['empty', ''],
] as const)
  test(`an attribute that is ${name} ends the list`, (t) => {
    t.is(readAttributes(Buffer.from(hex, 'hex')).size, 0);
  });

test('addresses are bytes', (t) => {
  t.deepEqual([...addressBytes('192.0.2.1')], [192, 0, 2, 1]);
  t.is(macText(macBytes('02:42:AC:11:00:0f')), '02:42:ac:11:00:0f');
  for (const text of ['', '02:42:ac:11:00', '02:42:ac:11:00:0g', '02-42-ac-11-00-0f', '02:42:ac:11:00:0f:00'])
    t.throws(() => macBytes(text), { message: `"${text}" is no MAC address` });
  t.is(Buffer.from(concatenate(interfaceKey('v1'), macBytes('02:42:ac:11:00:0f'))).toString('hex').length, 48);
});

for (const who of WHO)
  real(`links are made, listed, named, moved and deleted (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using route = lab.Rtnetlink.open();
      const other = await lab.namespace();
      const bridge = route.addBridge('br0', { mtu: 1400, mac: '02:00:00:00:00:01' });
      const peer = { name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1400, namespace: other.namespace.number };
      const port = route.addVeth('v1', { mtu: 1400, master: bridge, peer });
      const made = route.link(port);
      const far = other.route.linkIndex('eth0')!;
      const routes = () => {
        other.route.setUp(far);
        const none = ([4, 6] as const).map((family) => other.route.removeDefaultRoute(far, family));
        for (const [family, own, gateway] of [
          [4, '10.0.0.2', '10.0.0.1'],
          [6, 'fd00::2', 'fd00::1'],
        ] as const) {
          other.route.addAddress(far, lab.bytesOf(own), 24);
          other.route.addDefaultRoute(far, { family, gateway: lab.bytesOf(gateway) });
        }
        const list = () =>
          lab.judge('ip route show default', other.pid) + lab.judge('ip -6 route show default', other.pid);
        const [there, some] = [list(), ([4, 6] as const).map((family) => other.route.removeDefaultRoute(far, family))];
        return { none, there: there.split('\n').length - 1, some, left: list() };
      };
      const there = other.route.link(other.route.linkIndex('eth0')!);
      route.setMaster(port, 0);
      route.setName(port, 'renamed');
      route.setUp(port);
      const changed = route.link(port);
      const small = route.addVeth('small', { mtu: 1000, master: 0, peer: { ...peer, name: 'small', mtu: 1000 } });
      const without = [route.setNoLinkLocal(port), route.setNoLinkLocal(small)];
      route.deleteLink(small);
      const many = 300;
      for (let number = 0; number < many; number++)
        route.addVeth(`w${number}`, { mtu: 1400, master: 0, peer: { ...peer, name: `e${number}` } });
      const listed = [route.links().length, JSON.parse(lab.judge('ip -j link')).length as number];
      route.moveLink(port, other.pid, 'moved');
      return {
        without,
        made: { ...made, master: made?.master === bridge, mac: '', index: made?.index === port },
        there: { ...there, index: 0 },
        changed: { name: changed?.name, up: changed?.up, master: changed?.master ?? null },
        listed: listed.map((count) => count - many),
        moved: [route.linkIndex('renamed') ?? null, other.route.linkIndex('moved') === undefined],
        routes: routes(),
        gone: [route.link(9999) ?? null, route.deleteLink(9999), route.deleteLink(bridge)],
      };
    });
    t.deepEqual(found.made, { index: true, name: 'v1', master: true, mac: '', up: false, mtu: 1400 });
    t.deepEqual(found.without, [true, false]);
    t.like(found.there, { name: 'eth0', mac: '02:00:00:00:00:02', up: false, mtu: 1400 });
    t.deepEqual(found.changed, { name: 'renamed', up: true, master: null });
    t.deepEqual(found.listed, [3, 3]); // lo, br0, renamed
    t.deepEqual(found.moved, [null, false]);
    t.deepEqual(found.gone, [null, false, true]);
    t.deepEqual(found.routes, { none: [false, false], there: 2, some: [true, true], left: '' });
  });

for (const who of WHO)
  real(`a refusal says what was asked, and the socket goes on (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using route = lab.Rtnetlink.open();
      const say = (work: () => unknown) => {
        try {
          work();
          return {};
        } catch (error) {
          return { ...(error as object), message: (error as Error).message };
        }
      };
      const bridge = { mtu: 1500, mac: '02:00:00:00:00:01' };
      route.addBridge('br0', bridge);
      const errors = [
        say(() => route.addBridge('br0', bridge)),
        say(() => route.addAddress(1, lab.bytesOf('10.0.0.1'), 99)),
        say(() => route.setBridgePort(1, { learning: true, flood: true, isolated: true })),
        say(() => route.linkIndex('a-name-that-is-too-long')),
      ];
      return { errors, after: route.linkIndex('br0') !== undefined };
    });
    t.like(found.errors[0], { code: 'EEXIST', path: 'add link br0', message: 'rtnetlink: add link br0: EEXIST' });
    t.like(found.errors[1], { code: 'EINVAL', detail: 'ipv4: Invalid prefix length' });
    t.like(found.errors[2], { path: 'set bridge port 1' });
    t.like(found.errors[3], { message: '"a-name-that-is-too-long" is no name for an interface' });
    t.true(found.after);
  });

for (const who of WHO)
  real(`answers that are not the kernel's are not read (${who}${title})`, (t) => {
    const { index, links } = laboratory(who, async (lab) => {
      const { socket, forge } = lab.forgedAnswers();
      using route = new lab.Rtnetlink(socket);
      // for the next request: that there is no such link, and a list's end
      forge(1);
      const index = route.linkIndex('lo') ?? null;
      forge(2);
      return { index, links: route.links().length };
    });
    t.is(index, 1);
    t.is(links, 1);
  });

for (const who of WHO)
  real(`a batch is carried out whole or not at all (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using socket = lab.NetfilterSocket.open();
      const table = { family: 'inet', name: 'test' } as const;
      const say = (batch: InstanceType<typeof lab.NftablesBatch>) => {
        try {
          batch.commit(socket);
          return 'done';
        } catch (error) {
          return (error as Error).message;
        }
      };
      const { verdict } = lab.expressions;
      const rule = verdict({ jump: 'nowhere' });
      const failed = say(
        new lab.NftablesBatch().table(table).chain(table, 'a').rule(table, 'a', rule).chain(table, 'b'),
      );
      const left = lab.judge('nft list ruleset');
      const addresses = Array.from({ length: 5000 }, (_, at) => ({ key: Uint8Array.of(10, 0, at >> 8, at & 0xff) }));
      const batch = new lab.NftablesBatch().table(table).set(table, 'many', { key: ['ipv4_addr'] });
      const large = say(batch.addElements(table, 'many', addresses));
      const count = lab.judge('nft list set inet test many').match(/10\.0\.\d+\.\d+/g)?.length;
      const ranges = new lab.NftablesBatch().set(table, 'ranges', {
        key: ['inet_proto', 'ipv4_addr', 'inet_service'],
        interval: true,
      });
      const end = (last: number, port: number) =>
        lab.concatenate(Uint8Array.of(6), Uint8Array.of(10, 0, 0, last), Uint8Array.of(port >> 8, port & 0xff));
      ranges.addElements(table, 'ranges', [{ key: end(0, 80), last: end(255, 90) }]);
      ranges.set(table, 'timed', { key: ['ipv6_addr'], timeout: 3_600_000 });
      ranges.addElements(table, 'timed', [{ key: lab.bytesOf('fd00::1'), timeout: 60_000 }]);
      const sets = [say(ranges), lab.judge('nft list table inet test').replace(/\tset many[^}]*\}\s*\}/, '')];
      return {
        failed,
        left,
        large,
        count,
        sets,
        nothing: say(new lab.NftablesBatch()),
        removed: [say(new lab.NftablesBatch().removeTable(table).removeTable(table)), lab.judge('nft list ruleset')],
      };
    });
    t.is(found.failed, 'nf_tables: add a rule to a (inet test): ENOENT');
    t.is(found.left, '');
    t.is(found.large, 'done');
    t.is(found.count, 5000);
    t.is(found.sets[0], 'done');
    t.regex(found.sets[1]!, /type inet_proto \. ipv4_addr \. inet_service\n\t\tflags interval\n/);
    t.regex(found.sets[1]!, /elements = \{ tcp \. 10\.0\.0\.0\/24 \. 80-90 \}/);
    t.regex(
      found.sets[1]!,
      /type ipv6_addr\n(\t\tflags timeout\n)?\t\ttimeout 1h\n\t\telements = \{ fd00::1 timeout 1m expires /,
    );
    t.is(found.nothing, 'done');
    t.deepEqual(found.removed, ['done', '']);
  });
