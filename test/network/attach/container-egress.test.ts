/** The rules of one container over a kernel of the test's own: what is made of one that has not all that they take. */
import { constants } from 'node:os';
import test from 'ava';
import { NetlinkError, type NetlinkRequest } from '../../../src/host/streams/netlink-socket.ts';
import type { NetfilterSocket } from '../../../src/host/streams/nftables.ts';
import type { PacketLog } from '../../../src/host/streams/packet-log.ts';
import { ContainerEgress, type EgressNetwork } from '../../../src/network/attach/container-egress.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { network, openRecords } from '../records/fixture.ts';

/** @param lacking what a rule is about that the kernel has not */
function open(lacking: RegExp, errno: number) {
  const { database, records } = openRecords();
  const made = network('front');
  records.insert(made);
  const endpoint = lease(database, {
    network: made,
    containerId: 'me',
    interface: 'eth0',
    wanted: {},
    names: [],
    claim: identifySelf(),
  });
  const told: string[] = [];
  const transaction = (requests: readonly NetlinkRequest[]) => {
    const refused = requests.find(({ asked }) => lacking.test(asked));
    if (refused) throw new NetlinkError('nf_tables', errno, refused.asked);
    told.push(...requests.map(({ asked }) => asked));
  };
  const log = { closed: 0 };
  const openLog = async (): Promise<PacketLog> => ({
    group: 7,
    release: () => {
      throw new Error('not asked for');
    },
    [Symbol.dispose]: () => void log.closed++,
  });
  const problems: string[] = [];
  const egress = new ContainerEgress<EgressNetwork>({
    containerId: 'me',
    rules: ['10.0.0.0/8:80'],
    database,
    folder: temporaryFolder('husk-egress-'),
    openLog,
    problem: (text) => problems.push(text),
  });
  const admit = () =>
    egress.admit({ network: made, sockets: { nftables: { transaction } as unknown as NetfilterSocket } }, endpoint);
  return { admit, made: told, log, problems };
}

test('where refusals cannot be logged the rules are in force, and it is told', async (t) => {
  const { admit, made, log, problems } = open(/rule to \S+-log /, constants.errno.ENOENT);
  await admit();
  t.true(made.some((asked) => /rule to \S+-egress /.test(asked)));
  t.is(log.closed, 1);
  t.is(problems.length, 1);
  t.regex(problems[0]!, /^what --egress refuses on front is not logged: /);
});

for (const [what, lacking, errno] of [
  ['a rule of its own', /rule to \S+-egress /, constants.errno.ENOENT],
  ['the log, for another reason', /rule to \S+-log /, constants.errno.EPERM],
] as const)
  test(`what cannot be put in force fails: ${what}`, async (t) => {
    await t.throwsAsync(open(lacking, errno).admit(), { name: 'NetlinkError' });
  });
