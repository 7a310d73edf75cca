/** A host as a test wants it: rootless, four CPUs, nothing odd. */
import type { ContainerConfig, CreateOptions } from '../../../../src/engine/contract.ts';
import { readRequest } from '../../../../src/engine/request/request.ts';
import { buildSpec, type SpecFacts } from '../../../../src/engine/create/spec/build.ts';
import { createOptions } from './options.ts';

const ID = 'c0ffee'.padEnd(64, '0');

function facts(changes: Partial<SpecFacts> = {}): SpecFacts {
  return {
    userNamespace: true,
    joined: {},
    cpus: 4,
    availableCpus: '0-3',
    availableMems: '0',
    kernel: '6.1.0-18-amd64',
    hostHostname: 'hosty',
    recursiveReadonly: true,
    thermalCpus: [],
    oomScoreAdj: 100,
    defaultUlimits: [],
    blockDevice: (path) => (path === '/dev/sda' ? { major: 8, minor: 0 } : undefined),
    devicesAt: (path) =>
      path === '/dev/fuse'
        ? [{ path, type: 'c', major: 10, minor: 229 }]
        : path === '/dev/snd'
          ? [
              { path: '/dev/snd/seq', type: 'c', major: 116, minor: 1 },
              { path: '/dev/snd/by-path/x', type: 'c', major: 116, minor: 2 },
            ]
          : undefined,
    allDevices: () => [{ path: '/dev/kmsg', type: 'c', major: 1, minor: 11 }],
    etc: { hosts: '/d/etc/hosts', hostname: '/d/etc/hostname', resolvConf: '/d/etc/resolv.conf' },
    ...changes,
  };
}

export function containerConfig(
  options: Partial<CreateOptions> = {},
  changes: Partial<ContainerConfig> = {},
): ContainerConfig {
  return {
    options: createOptions(options),
    image: 'busybox',
    imageId: 'sha256:0',
    isolation: 'userns',
    path: 'sh',
    args: [],
    env: [],
    labels: {},
    workdir: '/',
    user: options.user ?? '',
    stopSignal: 'SIGTERM',
    hostname: ID.slice(0, 12),
    mounts: [],
    ...changes,
  };
}

/** the spec of `husk run` with these flags */
export function specOf(
  options: Partial<CreateOptions> = {},
  more: { config?: Partial<ContainerConfig>; facts?: Partial<SpecFacts> } = {},
) {
  const config = containerConfig(options, more.config);
  return buildSpec(ID, { config, request: readRequest(config.options) }, facts(more.facts));
}
