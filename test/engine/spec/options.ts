/** CreateOptions as a bare `husk run IMAGE` has them, with what a test changes. */
import type { CreateOptions } from '../../../src/engine/contract.ts';

export function createOptions(changes: Partial<CreateOptions> = {}): CreateOptions {
  return {
    image: 'busybox', labels: {}, annotations: {}, env: [], groupAdd: [], interactive: false, tty: false, autoRemove: false, init: false,
    restart: { name: 'no', maximumRetryCount: 0 }, pull: 'missing', isolation: 'userns', readOnly: false, tmpfs: {}, mounts: [], volumesFrom: [], network: 'none',
    dns: [], dnsSearch: [], dnsOptions: [], extraHosts: [], publish: [], publishAll: false, expose: [], privileged: false, capAdd: [], capDrop: [], securityOpt: [],
    devices: [], sysctls: {}, ulimits: [], logDriver: 'json-file', logOptions: {}, resources: {}, ...changes,
  };
}
