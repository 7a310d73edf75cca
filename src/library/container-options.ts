/**
 * Turns a program's options for a new container into the engine's request. Every field of the request may be given; a
 * missing field has the default of `husk run`. This module only decides.
 */
import { resolve } from 'node:path';
import type { CreateOptions, MountRequest } from '../engine/contract.ts';
import type { PullProgress } from './images.ts';

type Given = 'image' | 'command' | 'env' | 'mounts' | 'interactive' | 'restart' | 'consoleSize' | 'autoRemove';

/** The fields of the engine's CreateOptions, all of them optional. */
export interface ContainerOptions extends Partial<Omit<CreateOptions, Given>> {
  env?: Record<string, string> | string[];
  /** mounts; a bind's `source` may be relative to the working folder, and a volume without one is anonymous */
  mounts?: (Pick<MountRequest, 'type' | 'target'> & Partial<MountRequest>)[];
  /** Keeps the command's stdin open, for `startAttached` and `attach`. @default false */
  stdin?: boolean;
  /** @default 'no' */
  restart?: 'no' | 'always' | 'unless-stopped' | 'on-failure' | CreateOptions['restart'];
  /** Removes the container when it has exited, even when this program is gone by then: `--rm`. @default false */
  autoRemove?: boolean;
  /** Called with the progress of the image's layers, when the image has to be pulled. */
  onProgress?: (progress: PullProgress) => void;
  /** Called with one line for each warning, of the start too, and when an image is being pulled. */
  onMessage?: (line: string) => void;
  /** Aborts the call; what it has made by then is removed. */
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
