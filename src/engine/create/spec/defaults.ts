/** Docker's default mounts, masked and read-only paths. Source: moby 28 daemon/pkg/oci/defaults.go. */
import type { Mount } from '../../../spec.ts';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** an empty file by which programs know that they are in a container. Source: moby daemon/initlayer/setup_unix.go */
export const DOCKERENV = '/.dockerenv';
/** bytes: 64 MiB */
export const DEFAULT_SHM_SIZE = 64 * 1024 * 1024;

export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  // interrupt timing tells what others do: GHSA-6fw5-f8r9-fgfm
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  // energy counters leak keys (Platypus): GHSA-jq35-85cj-fj4p
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];

export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

/** per CPU, where it exists: the same advisory as /proc/interrupts */
export function thermalPath(cpu: number): string {
  return `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`;
}

/** @param options.writableSystem privileged: sysfs and cgroup are not read-only */
export function defaultMounts(options: { shmSize: number; writableSystem: boolean }): Mount[] {
  const ro = options.writableSystem ? [] : ['ro'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    // 5 is tty in every distribution: the group that may write to terminals
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', ...ro] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...ro, 'nosuid', 'noexec', 'nodev'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${options.shmSize}`],
    },
  ];
}
