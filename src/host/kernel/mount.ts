/** mount(2) and umount2(2), for a process that is root of its mount namespace. */
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const c_mount = systemCall<(source: string, target: string, fstype: string, flags: number, data: string) => number>(
  'int mount(const char *source, const char *target, const char *fstype, unsigned long flags, const char *data)',
);
const c_umount = systemCall<(target: string, flags: number) => number>('int umount2(const char *target, int flags)');

/** @throws SyscallError */
export function mount(source: string, target: string, fstype: string, flags: number, data = ''): void {
  checked(c_mount(source, target, fstype, flags, data), 'mount', target);
}

/** @throws SyscallError */
export function umount(target: string, flags = 0): void {
  checked(c_umount(target, flags), 'umount2', target);
}
