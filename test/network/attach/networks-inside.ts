/**
 * What tests of this room say inside of a process of an ordinary user's, or of root's: networks that are rows of a
 * database and namespaces of the kernel's, without a container or a command. Not a test itself.
 */
import test, { type ExecutionContext } from 'ava';
import { AS_ROOT, asRoot, asUser } from '../../rootless/containers.ts';

/**
 * `make`: a network in the database. `inside`: a program in a network's namespace, as a judge, with every right there.
 * `lease`: a container's place on a network. The keepers end with the test's process: they linger for seconds.
 */
const TOOLS = `
  const { openDatabase } = await load('state/database.ts');
  const { NetworkRecords } = await load('network/records/records.ts');
  const leases = await load('network/records/leases.ts');
  const { openActiveNetwork } = await load('network/attach/active-network.ts');
  const { identifySelf, isAlive } = await load('state/process-identity.ts');
  const { launch } = await load('launch/executor.ts');
  const { INIT_PROGRAM } = await load('program.ts');
  const { enterUsersNamespace } = await load('rootless/users-namespace.ts');
  // before node_modules/.bin, which has an nft of its own
  const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
  const database = openDatabase(resolve('husk.db'));
  const records = new NetworkRecords(database);
  const host = { database, dataRoot: resolve('.'), runtimeDir: resolve('networks') };
  const make = (name, more = {}) => {
    const network = { id: Buffer.from(name.padEnd(32, '.')).toString('hex'), name, createdAt: 0, driver: 'bridge', options: {}, labels: {}, internal: true, attachable: false, ipv4: true, ipv6: false, ipam: [{ subnet: '10.9.0.0/16', gateway: '10.9.0.1', auxiliary: {} }], ...more };
    records.insert(network);
    return network;
  };
  const lease = (network, containerId, more = {}) => leases.lease(database, { network, containerId: containerId.padEnd(64, '0'), interface: 'eth0', wanted: {}, names: [], claim: identifySelf(), ...more });
  const inside = async ({ users, namespace }, ...args) => {
    const all = 2n ** 41n - 1n;
    const launched = launch([{ op: 'closeFrom', fd: 7 }, enterUsersNamespace(users), { op: 'setns', path: '/proc/self/fd/6', type: 0x40000000 }, { op: 'capabilities', bounding: all, effective: all, permitted: all, inheritable: all, ambient: all }, { op: 'environment', env: ['PATH=' + PATH] }, { op: 'exec', args }], { init: INIT_PROGRAM, stdin: 'null', stdout: 'pipe', stderr: 'pipe', inherit: [namespace.number] });
    const [stdout, stderr, { code }] = await Promise.all([text(launched.stdout), text(launched.stderr), launched.exited]);
    if (code !== 0) throw new Error(args.join(' ') + ': ' + stderr);
    return stdout;
  };
  const endKeeper = async ({ keeper }) => { process.kill(keeper.pid, 'SIGKILL'); await within(() => !isAlive(keeper)); };
`;

/** As the ordinary user, and as root where the tests run as root. @param code a program that prints JSON */
export function inNetworks(title: string, code: string, check: (t: ExecutionContext, found: unknown) => void): void {
  for (const [who, run] of [
    ['user', asUser],
    ['root', asRoot],
  ] as const)
    (who === 'root' && !AS_ROOT ? test.skip : test)(
      `${title} (${who}${AS_ROOT || who === 'user' ? '' : ': needs root'})`,
      (t) => {
        const { stdout, stderr } = run(`${TOOLS}${code}`);
        t.is(stderr, '');
        check(t, JSON.parse(stdout));
      },
    );
}
