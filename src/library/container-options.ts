/**
 * What a program asks of a new container → the engine's request. Every field of the request may be given; what is left
 * out is as `husk run` has it. Decides only.
 */
import { resolve } from 'node:path';
import type { CreateOptions, MountRequest } from '../engine/contract.ts';
import type { PullProgress } from './images.ts';

type Given = 'image' | 'command' | 'env' | 'mounts' | 'interactive' | 'restart' | 'consoleSize' | 'autoRemove';

/** Fields as in the engine's CreateOptions, all of them optional. */
export interface ContainerOptions extends Partial<Omit<CreateOptions, Given>> {
  env?: Record<string, string> | string[];
  /** a bind's `source` may be relative to the working folder; a volume without one is anonymous */
  mounts?: (Pick<MountRequest, 'type' | 'target'> & Partial<MountRequest>)[];
  /** keeps the command's stdin open, for `startAttached` and `attach`. @default false */
  stdin?: boolean;
  /** @default 'no' */
  restart?: 'no' | 'always' | 'unless-stopped' | 'on-failure' | CreateOptions['restart'];
  /** removed when it has exited, also when this program is gone by then: `--rm`. @default false */
  autoRemove?: boolean;
  /** of the image's layers, when it has to be pulled */
  onProgress?: (progress: PullProgress) => void;
  /** warnings, and that an image is being pulled: one line each */
  onMessage?: (line: string) => void;
  /** gives up: what was made by then is removed */
  signal?: AbortSignal;
}

const DEFAULTS: Omit<CreateOptions, 'image'> = {
  labels: {},
  annotations: {},
  env: [],
  groupAdd: [],
  interactive: false,
  tty: false,
  autoRemove: false,
  init: false,
  restart: { name: 'no', maximumRetryCount: 0 },
  pull: 'missing',
  isolation: 'auto',
  readOnly: false,
  tmpfs: {},
  mounts: [],
  volumesFrom: [],
  network: 'default',
  dns: [],
  dnsSearch: [],
  dnsOptions: [],
  extraHosts: [],
  publish: [],
  publishAll: false,
  expose: [],
  privileged: false,
  capAdd: [],
  capDrop: [],
  securityOpt: [],
  devices: [],
  sysctls: {},
  ulimits: [],
  logDriver: '',
  logOptions: {},
  resources: {},
};

export function engineOptions(image: string, command: string[], options: ContainerOptions): CreateOptions {
  const {
    env = [],
    mounts = [],
    stdin = false,
    restart = 'no',
    onProgress: _progress,
    onMessage: _message,
    signal: _signal,
    ...same
  } = options;
  const given = Object.fromEntries(Object.entries(same).filter(([, value]) => value !== undefined)) as typeof same;
  return {
    ...DEFAULTS,
    ...given,
    image,
    command: command.length > 0 ? command : undefined,
    env: Array.isArray(env) ? env : Object.entries(env).map(([name, value]) => `${name}=${value}`),
    interactive: stdin,
    restart: typeof restart === 'string' ? { name: restart, maximumRetryCount: 0 } : restart,
    mounts: mounts.map((mount) => ({
      readonly: false,
      options: [],
      createSource: false,
      ...mount,
      ...(mount.type === 'bind' && mount.source !== undefined && { source: resolve(mount.source) }),
    })),
  };
}
