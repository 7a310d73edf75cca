/** `--sysctl`: only what has a namespace may be set. Source: runc libcontainer/configs/validate/validator.go; docker/cli opts ValidateSysctl. */
import { HuskError } from '../../../errors.ts';

const IPC = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

/** @throws HuskError `invalid` in runc's words */
export function checkSysctls(
  sysctls: Readonly<Record<string, string>>,
  own: { network: boolean; ipc: boolean; uts: boolean },
): void {
  for (const key of Object.keys(sysctls)) {
    const name = /^[^.]*\//.test(key) ? key.replace(/[./]/g, (sign) => (sign === '/' ? '.' : '/')) : key;
    if (IPC.has(name) || name.startsWith('fs.mqueue.')) {
      if (!own.ipc) throw invalid(`sysctl "${key}" is not allowed in the hosts ipc namespace`);
    } else if (name.startsWith('net.')) {
      if (!own.network) throw invalid(`sysctl "${key}" not allowed in host network namespace`);
    } else if (name === 'kernel.domainname') {
      if (!own.uts) throw invalid(`sysctl "${key}" is not allowed in the hosts uts namespace`);
    } else if (name === 'kernel.hostname')
      throw invalid(`sysctl "${key}" is not allowed as it conflicts with the OCI "hostname" field`);
    else throw invalid(`sysctl "${key}" is not in a separate kernel namespace`);
  }
}

function invalid(message: string): HuskError {
  return new HuskError(message, { kind: 'invalid' });
}
