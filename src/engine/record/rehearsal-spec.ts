/**
 * The container that is run in a machine before it becomes a template (src/vmm/sandbox/template.ts): a bare
 * `run --network none`, with nothing of a person's or an image's in it.
 */
import { DEFAULT_CAPABILITIES, processCapabilities } from '../../container/capabilities.ts';
import { seccompFor } from '../../container/seccomp/profile.ts';
import type { Spec } from '../../spec.ts';
import {
  DEFAULT_PATH,
  DEFAULT_SHM_SIZE,
  defaultMounts,
  DOCKERENV,
  MASKED_PATHS,
  READONLY_PATHS,
} from '../create/spec/defaults.ts';

const NAMESPACES = ['mount', 'cgroup', 'network', 'uts', 'pid', 'ipc'] as const;

/** @param kernel release of the kernel it runs under @returns the spec, but for what is executed */
export function rehearsalSpec(kernel: string): Spec {
  const seccomp = seccompFor(undefined, { capabilities: DEFAULT_CAPABILITIES, kernel, privileged: false });
  return {
    ociVersion: '1.2.0',
    hostname: 'rehearsal',
    root: { path: 'rootfs', readonly: false, emptyFiles: [DOCKERENV] },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0, username: '' },
      args: [],
      env: [`PATH=${DEFAULT_PATH}`],
      cwd: '/',
      capabilities: processCapabilities(DEFAULT_CAPABILITIES, { nonRoot: false }),
      rlimits: [],
      noNewPrivileges: false,
    },
    mounts: defaultMounts({ shmSize: DEFAULT_SHM_SIZE, writableSystem: false }),
    linux: {
      namespaces: NAMESPACES.map((type) => ({ type })),
      resources: {},
      ...(seccomp && { seccomp }),
      maskedPaths: [...MASKED_PATHS],
      readonlyPaths: [...READONLY_PATHS],
    },
  };
}
