/** 127.0.0.11:53 in a container: questions come to the sockets behind it and answers from it, by UDP and TCP. */
import test from 'ava';
import { ABLE, laboratory, WHO } from '../namespaces.ts';

const real = ABLE ? test : test.skip;
const title = ABLE ? '' : ', needs nft(8), ip(8) and bridge(8)';

for (const who of WHO)
  real(`port 53 of 127.0.0.11 is where the name server is (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const container = await lab.namespace();
      const next = await lab.serve(container.pid, '127.0.0.11', 40054);
      // a server of the container's own, at every address
      const own = await lab.serve(container.pid, '0.0.0.0', 53);
      for (let twice = 0; twice < 2; twice++) lab.dnsRedirect(container.nftables, { udpPort: 40053, tcpPort: 40054 });
      const tcp = lab.connect(container.pid, '127.0.0.11', 53);
      const other = lab.connect(container.pid, '127.0.0.1', 53);
      return {
        tcp: [tcp, tcp === 0 ? await next() : ''],
        other: [other, other === 0 ? await own() : ''],
        udp: lab.echo(container.pid, ['127.0.0.11', 40053], ['127.0.0.11', 53]),
        rules: lab.judge('nft list ruleset', container.pid),
      };
    });
    t.deepEqual(found.tcp, [0, '127.0.0.1']);
    t.deepEqual(found.other, [0, '127.0.0.1']);
    t.deepEqual(found.udp, ['question', 'answer from 127.0.0.11:53']);
    t.is(
      found.rules,
      `table ip husk-dns {
	chain output {
		type route hook output priority mangle; policy accept;
		ip daddr 127.0.0.11 udp dport 53 udp dport set 40053
		ip saddr 127.0.0.11 udp sport 40053 udp sport set 53
		ip daddr 127.0.0.11 tcp dport 53 tcp dport set 40054
		ip saddr 127.0.0.11 tcp sport 40054 tcp sport set 53
	}
}
`,
    );
  });
