/** Opens the sandbox of a container's isolation: the one place in the supervisor that knows there are several. */
import { join } from 'node:path';
import type { Fd } from '../../host/fd.ts';
import type { Paths } from '../../paths.ts';
import type { ImageTree, Sandbox } from '../../sandbox.ts';
import type { Task } from '../protocol/protocol.ts';

/** @param networkFd of a VM's network, which this process was born with and which is its for as long as it lives */
export type OpenSandbox = (task: Task, paths: Paths, networkFd?: number) => Promise<Sandbox>;

export const openSandbox: OpenSandbox = async (task, paths, networkFd) => {
  return task.isolation === 'vm' ? openVm(task, paths, networkFd) : openUserns(task, paths);
};

async function openUserns(task: Task, paths: Paths): Promise<Sandbox> {
  const [{ UsernsSandbox }, { ensureUnpacked, ensureUnpackedView }, { keptMaps }] = await Promise.all([
    import('../../rootless/sandbox.ts'),
    import('../../images/layers/unpack.ts'),
    import('../../rootless/keep-id.ts'),
  ]);
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
  const connect = task.outbound
    ? async (pid: number, namespace?: Fd) => (await import('../../network/pasta.ts')).connectPasta(pid, { namespace })
    : undefined;
  return new UsernsSandbox({ id: task.id, spec: task.spec, rootfs, images, directory, init: task.init }, { connect });
}

async function openVm(task: Task, paths: Paths, networkFd?: number): Promise<Sandbox> {
  return (await import('../vm.ts')).openVm(task, paths, networkFd);
}
