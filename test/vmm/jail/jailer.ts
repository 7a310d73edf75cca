/**
 * Puts inmate.ts into the jail as the engine puts a supervisor, and shows its output and exit code:
 * `node jailer.ts DATA SHARE ACTION [ARGUMENT]`.
 */
import { existsSync } from 'node:fs';
import { launch } from '../../../src/launch/executor.ts';
import { compileSeccomp } from '../../../src/container/seccomp/compile.ts';
import { connectedSocket } from '../../../src/host/streams/inet-socket.ts';
import { packetPair, readPacket, setNonBlocking, writePacket } from '../../../src/host/streams/packet-fd.ts';
import { watchReadable } from '../../../src/host/streams/poll.ts';
import { dataRootBinds } from '../../../src/engine/record/jail-binds.ts';
import { INIT_PROGRAM, OWN_FILES } from '../../../src/program.ts';
import { idMaps, writeIdMaps } from '../../../src/rootless/idmap.ts';
import { jailPlan, nodeBinds, nodeEnvironment, partBinds } from '../../../src/rootless/jail.ts';
import { birthList } from '../../../src/vmm/jail/allow-list.ts';

const [data, share, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const inmate = new URL('./inmate.ts', import.meta.url).pathname;
const isRoot = process.getuid!() === 0;
const [near, far] = packetPair();
/** what it inherits: its network, or a socket to a resolver of the host's, whose port is its last argument */
const handed = {
  network: () => far,
  resolver: () => connectedSocket('127.0.0.1', Number(args.at(-1))),
  other: () => undefined,
}[args[0] === 'network' || args[0] === 'resolver' ? args[0] : 'other']();
const plan = jailPlan({
  binds: [
    ...nodeBinds(process.execPath),
    ...partBinds([...OWN_FILES, { path: inmate, kind: 'file' }]),
    // the jail is tested on machines without KVM too; then a device that is everywhere stands for it
    {
      source: existsSync('/dev/kvm') ? '/dev/kvm' : '/dev/zero',
      target: '/dev/kvm',
      kind: 'file',
      readOnly: false,
      device: true,
    },
    ...(args[0]?.startsWith('look')
      ? dataRootBinds({ dataRoot: data, id: 'own', autoRemove: args[0] === 'look removing' })
      : [{ source: data, kind: 'directory', readOnly: false } as const]),
    { source: share, target: '/shares/0', kind: 'directory', readOnly: false },
    { source: share, target: '/shares/1', kind: 'directory', readOnly: true },
  ],
  args: [process.execPath, '--disable-warning=ExperimentalWarning', inmate, ...args],
  env: nodeEnvironment(),
  ...(handed && { inherited: 1 }),
  userNamespace: !isRoot,
  filter: compileSeccomp(birthList()),
});
const maps = isRoot ? undefined : idMaps();
const launched = launch(plan, {
  init: INIT_PROGRAM,
  stdin: 'null',
  stdout: 'pipe',
  stderr: 2,
  ...(handed && { inherit: [handed.number] }),
  onAwait: (_tag, pid) => writeIdMaps(pid, maps!),
});
far.close();
handed?.close();
// what the inmate sends on its network comes back
const frame = Buffer.alloc(65_536);
setNonBlocking(near.number);
const watch = watchReadable(near.number, () => {
  const length = readPacket(near.number, frame);
  if (length === 0) watch.close();
  else if (length !== undefined) writePacket(near.number, frame.subarray(0, length));
});
launched.stdout!.pipe(process.stdout);
await launched.started;
const pid = await launched.pid;
console.error(JSON.stringify({ pid, parent: process.pid }));
const { code } = await launched.exited;
watch.close();
process.exitCode = code;
