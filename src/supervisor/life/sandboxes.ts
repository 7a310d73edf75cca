/** Opens the sandbox of a container's isolation: the one place in the supervisor that knows there are several. */
import { join } from 'node:path';
import type { Sockets } from '../../launch/executor.ts';
import type { Step } from '../../launch/plan.ts';
import type { MachineNameContext } from '../../network/attach/machine-names.ts';
import type { Paths } from '../../paths.ts';
import type { UsersNamespace } from '../../rootless/users-namespace.ts';
import type { ImageTree, Sandbox } from '../../sandbox.ts';
import type { Descriptors } from '../protocol/descriptors.ts';
import type { Task } from '../protocol/protocol.ts';

/** What a sandbox in user namespaces needs of the networks that its container is to be on. */
export interface JoinNetworks {
  /** Begins to open them. @returns the user namespace in which its own has to be, as soon as it is known */
  open(): Promise<UsersNamespace | undefined>;
  /** makes what `connect` is given, in the container's network namespace */
  sockets: Extract<Step, { op: 'sockets' }>;
  connect(pid: number, sockets: Sockets): Promise<void>;
}

interface SandboxNetwork {
  /** what this process was born with, and has for as long as it lives: of a VM's supervisor */
  descriptors?: Descriptors | undefined;
  /** absent: the network namespace stays empty, or is another's */
  networks?: JoinNetworks | undefined;
  /** of a VM whose task has names */
  names?: MachineNameContext | undefined;
  /** of a VM whose task has a template: it was refused, and the machine boots */
  onRefused?: ((why: string) => void) | undefined;
}

export type OpenSandbox = (task: Task, paths: Paths, network?: SandboxNetwork) => Promise<Sandbox>;

export const openSandbox: OpenSandbox = async (task, paths, { networks, ...born } = {}) =>
  task.isolation === 'vm' ? openVm(task, paths, born) : openUserns(task, paths, networks);

async function openUserns(task: Task, paths: Paths, networks: JoinNetworks | undefined): Promise<Sandbox> {
  const [{ UsernsSandbox }, { ensureUnpacked, ensureUnpackedView }, { keptMaps }] = await Promise.all([
    import('../../rootless/sandbox.ts'),
    import('../../images/layers/unpack.ts'),
    import('../../rootless/keep-id.ts'),
  ]);
  // beside what follows, which is what they are waited for after
  const users = networks?.open();
  users?.catch(() => {});
  const directory = paths.container(task.id);
  const kept = keptMaps(task.spec.linux)?.kept;
  const rootfs = {
    kind: 'overlay' as const,
    lower: await ensureUnpacked(task.layers, paths, { kept }),
    upper: join(directory, 'upper'),
    work: join(directory, 'work'),
    merged: join(directory, 'merged'),
  };
  const images: ImageTree[] = [];
  for (const { id, layers } of task.images ?? [])
    images.push({ id, kind: 'overlay', lower: await ensureUnpackedView(layers, paths, { kept }) });
  return new UsernsSandbox(
    { id: task.id, spec: task.spec, rootfs, images, directory, init: task.init },
    networks
      ? {
          connect: (pid, _namespace, sockets = {}) => networks.connect(pid, sockets),
          sockets: networks.sockets,
          users: (await users) ?? paths.dataRoot,
        }
      : { users: paths.dataRoot },
  );
}

async function openVm(task: Task, paths: Paths, born: Omit<SandboxNetwork, 'networks'>): Promise<Sandbox> {
  return (await import('../vm.ts')).openVm(task, paths, born);
}
