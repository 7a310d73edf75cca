/**
 * `--network --ipc --pid --uts` → namespaces. In user-namespace isolation a container that joins another's namespace joins its user
 * namespace first: the kernel ties the right to enter a namespace to the user namespace that owns it. Pure.
 */
import type { Linux } from '../../../container/spec.ts';
import { HuskError } from '../../../errors.ts';
import type { CreateOptions } from '../../contract.ts';

export type Mode =
  | { kind: 'private' | 'host' | 'none' | 'shareable' }
  | { kind: 'container'; name: string }
  | { kind: 'named'; name: string };

export interface Modes {
  /** `named` is a network of husk's own, bridge included: a namespace of the container's own */
  network: Mode;
  ipc: Mode;
  pid: Mode;
  uts: Mode;
}

/** @throws HuskError `invalid` in Docker's words */
export function parseModes(
  options: Pick<CreateOptions, 'network' | 'ipc' | 'pid' | 'uts'> & { hostname?: string; privileged?: boolean },
): Modes {
  const { network = '', ipc = '', pid = '', uts = '' } = options;
  const modes: Modes = {
    network:
      network === 'host' || network === 'none'
        ? { kind: network }
        : (containerMode(network, '--network') ??
          (network === '' ? { kind: 'named', name: 'bridge' } : { kind: 'named', name: network })),
    ipc:
      ipc === '' || ipc === 'private'
        ? { kind: 'private' }
        : ipc === 'host' || ipc === 'none' || ipc === 'shareable'
          ? { kind: ipc }
          : (containerMode(ipc, '--ipc') ?? refuse(`--ipc: invalid IPC mode: ${ipc}`)),
    pid:
      pid === ''
        ? { kind: 'private' }
        : pid === 'host'
          ? { kind: 'host' }
          : (containerMode(pid, '--pid') ?? refuse('--pid: invalid PID mode')),
    uts: uts === '' ? { kind: 'private' } : uts === 'host' ? { kind: 'host' } : refuse('--uts: invalid UTS mode'),
  };
  if (options.hostname && modes.uts.kind === 'host') refuse('conflicting options: hostname and the UTS mode');
  if (options.hostname && modes.network.kind === 'container')
    refuse('conflicting options: hostname and the network mode');
  return modes;
}

function containerMode(text: string, flag: string): Mode | undefined {
  if (!text.startsWith('container:')) return undefined;
  const name = text.slice('container:'.length);
  if (name === '') refuse(`${flag}: invalid container format container:<name|id>`);
  return { kind: 'container', name };
}

function refuse(message: string): never {
  throw new HuskError(message, { kind: 'invalid' });
}

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
  const result: Linux['namespaces'] = [{ type: 'mount' }, { type: 'cgroup' }];
  const pids: number[] = [];
  const add = (type: 'network' | 'ipc' | 'pid', file: string, mode: Mode) => {
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
