/** Namespaces by descriptor: which namespace it is, who owns it, and which one surrounds it. ioctl_nsfs(2) */
import { readlinkSync } from 'node:fs';
import { Fd } from '../fd.ts';
import { _IO, ioctl } from './ioctl.ts';

/** include/uapi/linux/nsfs.h */
const NSIO = 0xb7;
const NS_GET_USERNS = _IO(NSIO, 1);
const NS_GET_PARENT = _IO(NSIO, 2);
const NS_GET_OWNER_UID = _IO(NSIO, 4);

/** @returns the target of its descriptor's link, which identifies the namespace while it exists: `user:[4026531837]` */
export function namespaceName(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

/** @returns the user namespace that owns a namespace @throws SyscallError EPERM when that one is outside of this one */
export function owningNamespace(fd: number): Fd {
  return new Fd(ioctl(fd, NS_GET_USERNS, 0, 'NS_GET_USERNS'));
}

/**
 * @returns the user namespace around a user namespace @throws SyscallError EPERM when that one is outside of this one
 */
export function parentNamespace(fd: number): Fd {
  return new Fd(ioctl(fd, NS_GET_PARENT, 0, 'NS_GET_PARENT'));
}

/** @returns the user who made a user namespace, by the uid that this namespace shows @throws SyscallError */
export function namespaceOwner(fd: number): number {
  const uid = new Uint32Array(1); // safe: the kernel writes one uid_t
  ioctl(fd, NS_GET_OWNER_UID, new Uint8Array(uid.buffer), 'NS_GET_OWNER_UID');
  return uid[0]!;
}
