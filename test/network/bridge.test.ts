/** The furniture of a network's namespace: put there twice, over sockets that were made inside and are used outside. */
import test from 'ava';
import { ABLE, laboratory, WHO } from './namespaces.ts';

const real = ABLE ? test : test.skip;
const title = ABLE ? '' : ', needs nft(8), ip(8) and bridge(8)';

for (const who of WHO)
  real(`setting up again is the repair, by sockets from inside of the namespace (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      // its user namespace is a child of this one: whoever made it has every right in it
      const inside = await lab.namespace();
      const look = () =>
        ['ip addr show br0', 'ip rule', 'ip -6 rule', 'ip route show table 100', 'nft list ruleset'].map((command) =>
          lab.judge(command, inside.pid),
        );
      const member = lab.endpointOf(2);
      const first = lab.setUpBridge(inside, lab.setup(), { endpoints: [member] });
      const once = look();
      lab.judge('nft delete table bridge husk', inside.pid);
      lab.judge('ip rule del pref 100', inside.pid);
      const again = lab.setUpBridge(inside, lab.setup(), { endpoints: [member], standing: first.standing });
      return { first: first.bridge, again: again.bridge, once, twice: look() };
    });
    t.is(found.again, found.first);
    // a table made anew comes last
    const sorted = (text: string) => text.split('\n').sort();
    t.deepEqual(found.twice.map(sorted), found.once.map(sorted));
  });

for (const who of WHO)
  real(`a socket passed out of its namespace is enough, for who made the namespace (${who}${title})`, (t) => {
    const found = laboratory(
      who,
      async (lab) => {
        const sockets = await lab.passed();
        lab.setUpBridge(sockets, lab.setup(), { endpoints: [lab.endpointOf(2)] });
        const look = (command: string) => lab.judge(command, sockets.pid, { user: true });
        return { address: look('ip -br addr show br0'), own: look('nft list set bridge husk own4') };
      },
      { outside: true },
    );
    t.regex(found.address, /10\.0\.0\.1\/24 fd00:a::1\/64/);
    t.regex(found.own, /"v2" \. 10\.0\.0\.2/);
  });

for (const who of WHO)
  real(`rules that stand as they were are not touched, what was changed is mended (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      using socket = lab.NetfilterSocket.open();
      using route = lab.Rtnetlink.open();
      const sockets = { nftables: socket, route };
      const member = lab.endpointOf(2);
      const endpoints = [member];
      /** with handles, which are new ones when a rule is made again */
      const list = () => lab.judge('nft -a list ruleset');
      const first = lab.setUpBridge(sockets, lab.setup(), { endpoints });
      const before = list();
      // what members have of their own counts for nothing, and stays
      lab.judge('nft add chain inet husk own-of-2');
      lab.judge('nft add rule inet husk own-of-2 accept');
      const untouched = lab.setUpBridge(sockets, lab.setup(), { endpoints, standing: first.standing });
      const kept = list();
      const mended: Record<string, boolean> = {};
      let { standing } = untouched;
      const spoil = (name: string, ...commands: string[]) => {
        const whole = lab.judge('nft list ruleset');
        for (const command of commands) lab.judge(command);
        if (lab.judge('nft list ruleset') === whole) throw new Error(`${name} changed nothing`);
        standing = lab.setUpBridge(sockets, lab.setup(), { endpoints, standing }).standing;
        mended[name] = lab.judge('nft list ruleset').split('\n').sort().join() === whole.split('\n').sort().join();
      };
      const handle = /tcp reject with tcp reset # handle (\d+)/.exec(list())![1]!;
      spoil('a rule', `nft delete rule inet husk refused handle ${handle}`);
      spoil('a rule too many', 'nft insert rule inet husk forward accept');
      spoil('a table', 'nft delete table bridge husk');
      spoil('a port of a member', `nft flush set bridge husk macs`);
      spoil('an address of a member', 'nft flush set bridge husk own4');
      spoil('where nobody goes', 'nft flush set inet husk never4');
      return { before, kept, same: untouched.standing === first.standing, mended };
    });
    t.true(found.same);
    const own = /\n\tchain own-of-2 \{.*?\n\t\}\n/s;
    t.regex(found.kept, own);
    t.is(found.kept.replace(own, ''), found.before);
    t.deepEqual(
      Object.entries(found.mended).filter(([, whole]) => !whole),
      [],
    );
  });

for (const who of WHO)
  real(`a kernel without nft_socket has the other rules, and one without others is refused (${who}${title})`, (t) => {
    const found = laboratory(who, async (lab) => {
      const list = (pid: number) => lab.judge('nft -a list ruleset', pid);
      const inside = lab.lacking(await lab.namespace(), 'add a rule to transparent');
      const first = lab.setUpBridge(inside, lab.setup());
      const before = list(inside.pid);
      const again = lab.setUpBridge(inside, lab.setup(), { standing: first.standing });
      const whole = await lab.namespace();
      let refused = '';
      try {
        lab.setUpBridge(lab.lacking(await lab.namespace(), 'add a rule to leaving'), lab.setup());
      } catch (error) {
        refused = (error as Error).message;
      }
      return {
        transparent: [first, again, lab.setUpBridge(whole, lab.setup())].map(({ transparent }) => transparent),
        untouched: list(inside.pid) === before,
        rules: before,
        refused,
      };
    });
    t.deepEqual(found.transparent, [false, false, true]);
    t.true(found.untouched);
    t.notRegex(found.rules, /socket transparent/);
    t.regex(found.rules, /masquerade/);
    t.regex(found.refused, /add a rule to leaving/);
  });
