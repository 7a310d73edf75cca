/**
 * Puts inmate.ts into the jail as the engine puts a supervisor, and shows its output and exit code:
 * `node jailer.ts DATA SHARE ACTION [ARGUMENT]`.
 */
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { FIRST_INHERITED, launch } from '../../../src/launch/executor.ts';
import { compileSeccomp } from '../../../src/container/seccomp/compile.ts';
import { streamPair } from '../../../src/host/streams/socket.ts';
import { dataRootBinds } from '../../../src/engine/record/jail-binds.ts';
import { INIT_PROGRAM, OWN_FILES } from '../../../src/program.ts';
import { idMaps, writeIdMaps } from '../../../src/rootless/idmap.ts';
import { jailPlan, nodeBinds, nodeEnvironment, partBinds } from '../../../src/rootless/jail.ts';
import { birthList } from '../../../src/vmm/jail/allow-list.ts';

const [data, share, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const inmate = new URL('./inmate.ts', import.meta.url).pathname;
const isRoot = process.getuid!() === 0;
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
  ...(args[0] === 'network' && { inherited: FIRST_INHERITED }),
  userNamespace: !isRoot,
  filter: compileSeccomp(birthList()),
});
const maps = isRoot ? undefined : idMaps();
const { near, far } = streamPair();
const launched = launch(plan, {
  init: INIT_PROGRAM,
  stdin: 'null',
  stdout: 'pipe',
  stderr: 2,
  ...(args[0] === 'network' && { inherit: [far.number] }),
  onAwait: (_tag, pid) => writeIdMaps(pid, maps!),
});
far.close();
// what the inmate sends on its network comes back
const network = new Socket({ fd: near.release() });
network.on('error', () => {}).pipe(network);
launched.stdout!.pipe(process.stdout);
await launched.started;
const pid = await launched.pid;
console.error(JSON.stringify({ pid, parent: process.pid }));
const { code } = await launched.exited;
network.destroy();
process.exitCode = code;
