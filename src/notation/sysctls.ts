/**
 * Which kernel settings belong to a namespace, by their sysctl(8) names. Source: runc validator.go; docker/cli opts.
 * The functions are pure.
 */

const IPC = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

export function isIpcSysctl(name: string): boolean {
  return IPC.has(name) || name.startsWith('fs.mqueue.');
}

export function isNetworkSysctl(name: string): boolean {
  return name.startsWith('net.');
}
