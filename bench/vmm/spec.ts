/** The spec of the bench's container: husk's defaults, as for `husk run --network none`. */
import { existsSync } from 'node:fs';
import type { Spec } from '../../src/spec.ts';
import type { ContainerConfig } from '../../src/engine/contract.ts';
import { readRequest } from '../../src/engine/request/request.ts';
import { buildSpec, type SpecFacts } from '../../src/engine/create/spec/build.ts';
import { createOptions } from '../../test/engine/create/spec/options.ts';

/** @param etc the folder of the files that husk generates for a container */
export function containerSpec(command: [string, ...string[]], etc: string): Spec {
  const options = createOptions();
  const [path, ...args] = command;
  const config: ContainerConfig = {
    options,
    image: 'base',
    imageId: '',
    isolation: 'vm',
    path,
    args,
    env: ['PATH=/bin:/usr/bin'],
    labels: {},
    workdir: '/',
    user: '',
    stopSignal: 'SIGTERM',
    hostname: 'bench',
    mounts: [],
  };
  const facts: SpecFacts = {
    userNamespace: false,
    joined: {},
    cpus: 1,
    blockDevice: () => undefined,
    kernel: '6.12.0',
    hostHostname: 'host',
    recursiveReadonly: true,
    thermalCpus: [],
    oomScoreAdj: 0,
    defaultUlimits: [],
    devicesAt: (at) => [{ path: at, type: 'c', major: 1, minor: 3 }],
    allDevices: () => [],
    hostHas: existsSync,
    etc: { hosts: `${etc}/hosts`, hostname: `${etc}/hostname`, resolvConf: `${etc}/resolv.conf` },
  };
  return buildSpec('b'.repeat(64), { config, request: readRequest(config.options) }, facts).spec;
}
