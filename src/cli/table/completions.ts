/** Sets of values that the completions of several commands share. This module has data only. */
import { ULIMIT_NAMES } from '../../notation/ulimits.ts';
import { PROPAGATIONS } from '../../notation/mount-options.ts';
import type { Combined } from '../grammar/flag.ts';

const YES_OR_NO = ['true', 'false'] as const;

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
    network: 'network',
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
export const SEARCH_FILTERS: Combined = { pairs: { 'is-official': YES_OR_NO, stars: 'none' } };
export const VOLUME_FILTERS: Combined = {
  pairs: { dangling: YES_OR_NO, driver: ['local'], label: 'none', name: 'volume' },
};
export const VOLUME_PRUNE_FILTERS: Combined = { pairs: { all: YES_OR_NO, label: 'none', 'label!': 'none' } };
export const NETWORK_FILTERS: Combined = {
  pairs: {
    dangling: YES_OR_NO,
    driver: ['bridge', 'host', 'null'],
    id: 'none',
    label: 'none',
    name: 'network',
    scope: ['local'],
    type: ['custom', 'builtin'],
  },
};
/** keys of the driver bridge, which src/network/records/options.ts defines */
export const NETWORK_OPTIONS: Combined = {
  pairs: {
    'com.docker.network.bridge.enable_icc': YES_OR_NO,
    'com.docker.network.bridge.enable_ip_masquerade': ['true'],
    'com.docker.network.bridge.gateway_mode_ipv4': ['nat', 'isolated'],
    'com.docker.network.bridge.gateway_mode_ipv6': ['nat', 'isolated'],
    'com.docker.network.bridge.host_binding_ipv4': 'none',
    'com.docker.network.bridge.name': 'none',
    'com.docker.network.driver.mtu': 'none',
    'husk.metadata': YES_OR_NO,
  },
};
export const BUILD_CACHE_FILTERS: Combined = { pairs: { id: 'none', shared: YES_OR_NO, until: 'none' } };
export const BUILD_OUTPUT: Combined = {
  list: true,
  pairs: {
    type: ['local', 'tar', 'oci', 'docker', 'image', 'registry', 'cacheonly'],
    dest: 'file',
    name: 'none',
    push: ['true', 'false'],
  },
  also: 'file',
};
export const BUILD_SECRET: Combined = { list: true, pairs: { id: 'none', src: 'file', env: 'environment' } };
export const PRUNE_FILTERS: Combined = { pairs: { label: 'none', 'label!': 'none', until: 'none' } };

export const EVENT_FILTERS: Combined = {
  pairs: {
    container: 'container',
    event: [
      'attach',
      'checkpoint',
      'commit',
      'connect',
      'copy',
      'create',
      'delete',
      'destroy',
      'detach',
      'die',
      'disconnect',
      'exec_create',
      'exec_detach',
      'exec_die',
      'exec_start',
      'export',
      'fork',
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
    network: 'network',
    scope: ['local'],
    type: ['container', 'image', 'network', 'volume'],
    volume: 'volume',
  },
};

/** @returns completions of `--network`, `--ipc` and `--pid`: words, or another container's namespace */
export const sharing = (...words: string[]): Combined => ({ words, pairs: { container: 'container' }, mark: ':' });
export const NETWORK_MODES: Combined = { also: 'network', pairs: { container: 'container' }, mark: ':' };

/** keys of a CSV record; the other spellings (src, dst) are accepted but not offered */
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

/** the platforms of most images on Docker's hub; any other is accepted */
export const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/386'] as const;
