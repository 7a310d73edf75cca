/**
 * The last thing before a guest's first instruction: this process gives up what a running VMM does not need. What it
 * can see was settled when it was born (src/rootless/jail.ts). There is no way back, and no second time: a container's
 * restarts run under the first filter.
 */
import { compileSeccomp } from '../container/seccomp/compile.ts';
import { filterAllThreads, setNoNewPrivileges, setUndumpable } from '../host/kernel/seccomp.ts';
import { allowList } from '../vmm/jail/allow-list.ts';

let locked = false;

/** @param options.again the container has a restart policy: its next machine is made by this process */
export function lockDown(options: { again: boolean }): void {
  if (locked) return;
  const { filter, flags } = compileSeccomp(allowList({ pid: process.pid, again: options.again }));
  setNoNewPrivileges();
  setUndumpable();
  filterAllThreads(filter, flags);
  locked = true;
}
