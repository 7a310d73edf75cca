/**
 * Turns the namespace types of the runtime spec into CLONE_NEW* flags, and decides which namespaces are made, joined or
 * left as the host's. Source: linux include/uapi/linux/sched.h; namespaces(7).
 */
import { HuskError } from '../errors.ts';
import type { NamespaceType, Spec } from '../spec.ts';

export const CLONE_NEWTIME = 0x80;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;

const FLAG: Record<NamespaceType, number> = {
  pid: CLONE_NEWPID,
  network: CLONE_NEWNET,
  mount: CLONE_NEWNS,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
  user: CLONE_NEWUSER,
  cgroup: CLONE_NEWCGROUP,
  time: CLONE_NEWTIME,
};

export interface Namespaces {
  /** CLONE_NEW* flags of the namespaces to make, user and cgroup included */
  made: number;
  /** the namespaces to join, the user namespace first: joining the others needs its capabilities */
  joined: { type: number; path: string }[];
}

/** @throws HuskError `invalid` for an unknown type or one named twice */
export function namespaces(spec: Spec): Namespaces {
  const result: Namespaces = { made: 0, joined: [] };
  let seen = 0;
  for (const { type, path } of spec.linux.namespaces) {
    const flag = Object.hasOwn(FLAG, type) ? FLAG[type] : undefined;
    if (flag === undefined)
      throw new HuskError(`the spec has an unknown namespace type "${type}"`, { kind: 'invalid' });
    if (seen & flag) throw new HuskError(`the spec names the ${type} namespace twice`, { kind: 'invalid' });
    seen |= flag;
    if (path === undefined || path === '') result.made |= flag;
    else result.joined.push({ type: flag, path });
  }
  result.joined.sort((a, b) => Number(b.type === CLONE_NEWUSER) - Number(a.type === CLONE_NEWUSER));
  return result;
}

/** @returns whether the container has its own or another container's namespace of this type, not the host's */
export function isolates(spaces: Namespaces, flag: number): boolean {
  return (spaces.made & flag) !== 0 || spaces.joined.some(({ type }) => type === flag);
}
