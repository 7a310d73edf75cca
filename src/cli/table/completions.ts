/** Enumerations that several commands offer to a person who types. Data only. */
import { ULIMIT_NAMES } from '../../notation/ulimits.ts';
import { PROPAGATIONS } from '../../notation/mount-options.ts';
import type { Combined } from '../grammar/flag.ts';

const YES_OR_NO = ['true', 'false'] as const;
const NETWORKS = ['bridge', 'host', 'none'] as const;

export const CONTAINER_FILTERS: Combined = {
  pairs: {
    ancestor: 'image',
    before: 'container',
    exited: 'none',
    expose: 'none',
    health: ['starting', 'healthy', 'unhealthy', 'none'],
    id: 'none',
    'is-task': YES_OR_NO,
    isolation: ['vm', 'userns'],
    label: 'none',
    name: 'container',
    network: NETWORKS,
    publish: 'none',
    since: 'container',
    status: ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'],
    volume: 'volume',
  },
};

export const IMAGE_FILTERS: Combined = {
  pairs: {
    before: 'image',
    dangling: YES_OR_NO,
    label: 'none',
    'label!': 'none',
    reference: 'image',
    since: 'image',
    until: 'none',
  },
};
export const IMAGE_PRUNE_FILTERS: Combined = {
  pairs: { dangling: YES_OR_NO, label: 'none', 'label!': 'none', until: 'none' },
};
export const VOLUME_FILTERS: Combined = {
  pairs: { dangling: YES_OR_NO, driver: ['local'], label: 'none', name: 'volume' },
};
export const VOLUME_PRUNE_FILTERS: Combined = { pairs: { all: YES_OR_NO, label: 'none', 'label!': 'none' } };
export const PRUNE_FILTERS: Combined = { pairs: { label: 'none', 'label!': 'none', until: 'none' } };

export const EVENT_FILTERS: Combined = {
  pairs: {
    container: 'container',
    event: [
      'attach',
      'commit',
      'copy',
      'create',
      'delete',
      'destroy',
      'detach',
      'die',
      'exec_create',
      'exec_detach',
      'exec_die',
      'exec_start',
      'export',
      'extract-to-dir',
      'health_status',
      'import',
      'kill',
      'load',
      'log_error',
      'mount',
      'oom',
      'pause',
      'prune',
      'pull',
      'push',
      'rename',
      'resize',
      'restart',
      'save',
      'start',
      'stop',
      'tag',
      'top',
      'unmount',
      'unpause',
      'untag',
      'update',
    ],
    image: 'image',
    label: 'none',
    network: NETWORKS,
    scope: ['local'],
    type: ['container', 'image', 'volume'],
    volume: 'volume',
  },
};

/** `--network`, `--ipc`, `--pid`: words, or another container's */
export const sharing = (...words: string[]): Combined => ({ words, pairs: { container: 'container' }, mark: ':' });
export const NETWORK_MODES: Combined = sharing(...NETWORKS);

/** keys of a CSV record; the second spellings (src, dst) are taken and not offered */
export const MOUNT: Combined = {
  list: true,
  pairs: {
    type: ['bind', 'volume', 'tmpfs', 'image'],
    source: 'file',
    target: 'none',
    'bind-propagation': PROPAGATIONS,
    'bind-recursive': ['enabled', 'disabled', 'writable', 'readonly'],
    'image-subpath': 'none',
    'volume-driver': ['local'],
    'volume-label': 'none',
    'volume-opt': 'none',
    'volume-subpath': 'none',
    'tmpfs-mode': 'none',
    'tmpfs-size': 'none',
  },
  bare: ['readonly', 'volume-nocopy', 'bind-create-src'],
};

export const ULIMITS: Combined = {
  pairs: Object.fromEntries(ULIMIT_NAMES.map((name) => [name, 'none'] as const)),
};

export const LOG_OPTIONS: Combined = {
  pairs: {
    compress: YES_OR_NO,
    env: 'none',
    'env-regex': 'none',
    labels: 'none',
    'labels-regex': 'none',
    'max-buffer-size': 'none',
    'max-file': 'none',
    'max-size': 'none',
    mode: ['blocking', 'non-blocking'],
    tag: 'none',
  },
};

export const VOLUME_OPTIONS: Combined = { pairs: { type: ['none'], o: ['bind'], device: 'file' } };

/** what Docker's hub has most images for; any other is taken */
export const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/386'] as const;
