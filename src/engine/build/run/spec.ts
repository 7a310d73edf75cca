/**
 * A RUN as an OCI spec, with what every container of husk has by default: 14 capabilities, the seccomp profile, masked
 * paths. Pure; the mounts of the step itself are added by the sandbox.
 */
import { processCapabilities, tweakCapabilities } from '../../../container/capabilities.ts';
import { seccompFor } from '../../../container/seccomp/profile.ts';
import type { BuildRun, BuildSettings } from '../../../build-sandbox.ts';
import type { Rlimit, Seccomp, Spec } from '../../../spec.ts';
import {
  DEFAULT_PATH,
  DEFAULT_SHM_SIZE,
  defaultMounts,
  MASKED_PATHS,
  READONLY_PATHS,
  thermalPath,
} from '../../create/spec/defaults.ts';

/** BuildKit's name for the container of every step */
export const BUILD_HOSTNAME = 'buildkitsandbox';

export interface RunSpecFacts {
  /** uname(2) release */
  kernel: string;
  thermalCpus: readonly number[];
  /** `--ulimit`, and what every container has */
  rlimits: readonly Rlimit[];
  /** value of net.ipv4.ping_group_range, as for any container */
  pingGroups?: string | undefined;
}

/** Makes the specs of a build, which share one seccomp profile: its filter is compiled once. */
export class RunSpecs {
  readonly #settings: BuildSettings;
  readonly #facts: RunSpecFacts;
  #seccomp: Seccomp | undefined;

  constructor(settings: BuildSettings, facts: RunSpecFacts) {
    this.#settings = settings;
    this.#facts = facts;
  }

  make({ argv, env, hidden, cwd, user, network, insecure }: BuildRun['operation']): Spec {
    const capabilities = tweakCapabilities({ add: [], drop: [], privileged: insecure });
    const { shmSize = DEFAULT_SHM_SIZE, resources = {}, cgroupParent } = this.#settings;
    const { kernel, thermalCpus, rlimits, pingGroups } = this.#facts;
    const seccomp = insecure
      ? undefined
      : (this.#seccomp ??= seccompFor(undefined, { capabilities, kernel, privileged: false }));
    const isHost = network === 'host';
    return {
      ociVersion: '1.2.0',
      hostname: BUILD_HOSTNAME,
      root: { path: 'rootfs' },
      process: {
        args: argv,
        env: environment([...env, ...hidden]),
        cwd: cwd || '/',
        user: { uid: 0, gid: 0, username: user },
        capabilities: processCapabilities(capabilities, { nonRoot: false }),
        rlimits: [...rlimits],
      },
      mounts: defaultMounts({ shmSize, writableSystem: insecure }),
      linux: {
        namespaces: (['mount', 'cgroup', 'uts', 'pid', 'ipc', 'user'] as const)
          .map((type): Spec['linux']['namespaces'][number] => ({ type }))
          .concat(isHost ? [] : [{ type: 'network' }]),
        resources,
        ...(seccomp && { seccomp }),
        ...(!isHost && {
          sysctl: {
            'net.ipv4.ip_unprivileged_port_start': '0',
            ...(pingGroups !== undefined && { 'net.ipv4.ping_group_range': pingGroups }),
          },
        }),
        maskedPaths: insecure ? [] : [...MASKED_PATHS, ...thermalCpus.map(thermalPath)],
        readonlyPaths: insecure ? [] : [...READONLY_PATHS],
        ...(cgroupParent !== undefined && { cgroupsPath: `${cgroupParent}/build` }),
      },
    };
  }
}

/** Each name once, the last value wins in the first one's place; PATH is Docker's where there is none. */
function environment(entries: readonly string[]): string[] {
  const values = new Map<string, string>();
  for (const entry of entries) values.set(entry.slice(0, Math.max(entry.indexOf('='), 0)), entry);
  if (!values.has('PATH')) values.set('PATH', `PATH=${DEFAULT_PATH}`);
  return [...values.values()];
}
