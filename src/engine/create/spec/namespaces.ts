/**
 * Modes → namespaces. In user-namespace isolation a container that joins another's namespace joins its user
 * namespace first: the kernel ties the right to enter a namespace to the user namespace that owns it. Pure.
 */
import type { Linux } from '../../../spec.ts';
import { HuskError } from '../../../errors.ts';
import type { CreateRequest } from '../../request/request.ts';

export type Modes = Pick<CreateRequest, 'network' | 'ipc' | 'pid' | 'uts' | 'cgroupns'>;

export interface JoinFacts {
  /** containers run in user namespaces of their own */
  userNamespace: boolean;
  /** pid, as the executor sees it, of the first process of the container joined */
  joined: { network?: number; ipc?: number; pid?: number };
  /** identity of a process's user namespace: readlink of /proc/PID/ns/user */
  userNamespaceOf?(pid: number): string;
}

/** @throws HuskError `unsupported` when the containers joined are in different user namespaces */
export function namespacesFor(modes: Modes, facts: JoinFacts): Linux['namespaces'] {
  const result: Linux['namespaces'] = [{ type: 'mount' }];
  if (modes.cgroupns.kind !== 'host') result.push({ type: 'cgroup' });
  const pids: number[] = [];
  const add = (type: 'network' | 'ipc' | 'pid', file: string, mode: Modes[typeof type]) => {
    if (mode.kind === 'host') return;
    if (mode.kind !== 'container') return void result.push({ type });
    const pid = facts.joined[type];
    if (pid === undefined)
      throw new HuskError(`cannot join the ${type} namespace of a non running container: ${mode.name}`, {
        kind: 'conflict',
      });
    pids.push(pid);
    result.push({ type, path: `/proc/${pid}/ns/${file}` });
  };
  add('network', 'net', modes.network);
  if (modes.uts.kind !== 'host') result.push({ type: 'uts' });
  add('pid', 'pid', modes.pid);
  add('ipc', 'ipc', modes.ipc);
  if (!facts.userNamespace) return result;
  const [first] = pids;
  if (first === undefined) return [...result, { type: 'user' }];
  const identity = facts.userNamespaceOf ?? String;
  if (pids.some((pid) => pid !== first && identity(pid) !== identity(first)))
    throw new HuskError('cannot join namespaces of two containers that are in different user namespaces', {
      kind: 'unsupported',
      fix: 'start the second with --network, --ipc or --pid container:FIRST, so that both share one user namespace',
    });
  return [...result, { type: 'user', path: `/proc/${first}/ns/user` }];
}
