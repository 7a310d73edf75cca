/**
 * A warden's answers in this process: rules over a kernel that writes down what it is told, and a resolver of the
 * test's.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { duplexPair, type Duplex } from 'node:stream';
import type { NetfilterSocket } from '../../../src/host/streams/nftables.ts';
import type { NetlinkRequest } from '../../../src/host/streams/netlink-socket.ts';
import { ContainerEgress, type EgressNetwork } from '../../../src/network/attach/container-egress.ts';
import { RefusalReader } from '../../../src/network/egress/refusals.ts';
import type { Pace } from '../../../src/network/names/pace.ts';
import { readQuery } from '../../../src/network/names/message.ts';
import type { Resolver } from '../../../src/network/names/upstream.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { answerQuestions } from '../../../src/network/warden/warden.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { network, openRecords } from '../records/fixture.ts';

interface Given {
  rules: readonly string[];
  /** what the resolver says to a query; absent: nothing, for ever */
  says?: (query: Buffer) => Buffer;
  pace?: Pace;
}

/** A machine `me` with rules, beside `web` and `db`, and the stream by which its monitor asks. */
export async function wardenOf({ rules, says, pace }: Given) {
  const { file, database, records } = openRecords();
  const made = network('front');
  records.insert(made);
  const claim = identifySelf();
  const [me] = ['me', 'web', 'db'].map((containerId) =>
    lease(database, { network: made, containerId, interface: 'eth0', wanted: {}, names: [containerId], claim }),
  );
  /** what the kernel was asked for, in words */
  const kernel: string[] = [];
  const transaction = (requests: readonly NetlinkRequest[]) =>
    void kernel.push(...requests.map(({ asked }) => asked).filter((asked) => asked !== 'commit'));
  const nftables = { transaction } as unknown as NetfilterSocket;
  const folder = join(dirname(file), 'me');
  mkdirSync(folder);
  const problems: string[] = [];
  const egress = new ContainerEgress<EgressNetwork>({
    containerId: 'me',
    rules,
    database,
    folder,
    openLog: async () => undefined,
    problem: (text) => problems.push(text),
  });
  await egress.admit({ network: made, sockets: { nftables } }, me!);
  kernel.length = 0;
  /** names that the resolver was asked for */
  const asked: string[] = [];
  const resolver: Resolver = {
    from: 'host',
    ask: (bytes, _protocol, call) => {
      const query = readQuery(bytes);
      asked.push(query && !('rcode' in query) ? query.name : '?');
      if (says) setImmediate(() => call.received(says(bytes)));
      return { close: () => {} };
    },
    close: () => {},
  };
  const ask = (stream: Duplex) =>
    answerQuestions(stream, {
      containerId: 'me',
      resolvers: ['192.0.2.53'],
      ndotsSet: false,
      forward: true,
      database,
      egress,
      resolver: () => resolver,
      ...(pace && { pace }),
      problem: (error) => problems.push(String(error)),
    });
  return { ask, kernel, asked, problems, refused: new RefusalReader(folder), close: () => egress.close() };
}

/** A stream that is answered, and what has come of it. */
export function asker({ ask }: Pick<Awaited<ReturnType<typeof wardenOf>>, 'ask'>): { monitor: Duplex; host: Duplex } {
  const [monitor, host] = duplexPair();
  ask(host);
  return { monitor, host };
}
