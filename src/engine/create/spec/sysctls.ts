/**
 * `--sysctl`: only what has a namespace may be set. Source: runc libcontainer/configs/validate/validator.go; docker/cli
 * opts ValidateSysctl.
 */
import { HuskError } from '../../../errors.ts';
import { isIpcSysctl, isNetworkSysctl } from '../../../notation/sysctls.ts';
import type { CreateRequest } from '../../request/request.ts';

type Asked = Pick<CreateRequest, 'sysctls' | 'network' | 'ipc' | 'uts'>;

/** @throws HuskError `invalid` in runc's words */
export function checkSysctls({ sysctls, network, ipc, uts }: Asked): void {
  const own = { network: network.kind !== 'host', ipc: ipc.kind !== 'host', uts: uts.kind !== 'host' };
  for (const key of Object.keys(sysctls)) {
    const name = /^[^.]*\//.test(key) ? key.replace(/[./]/g, (sign) => (sign === '/' ? '.' : '/')) : key;
    if (isIpcSysctl(name)) {
      if (!own.ipc) throw invalid(`sysctl "${key}" is not allowed in the hosts ipc namespace`);
    } else if (isNetworkSysctl(name)) {
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
