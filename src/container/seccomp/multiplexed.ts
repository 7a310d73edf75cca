/**
 * Knows the two calls of i386 that stand for many: socketcall(2) and ipc(2). A rule for socket(2) must hold for
 * socketcall(SYS_SOCKET) too, or a program would call through the one what the profile forbids in the other. Source:
 * linux include/uapi/linux/net.h, ipc.h.
 */

const SOCKETCALL =
  'socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg'.split(
    ' ',
  );
const IPC: Record<string, number> = {
  semop: 1,
  semget: 2,
  semctl: 3,
  semtimedop: 4,
  msgsnd: 11,
  msgrcv: 12,
  msgget: 13,
  msgctl: 14,
  shmat: 21,
  shmdt: 22,
  shmget: 23,
  shmctl: 24,
};

/** @returns the multiplexing call and the value of its first argument that means this call */
export function multiplexed(name: string): { call: 'socketcall' | 'ipc'; code: number } | undefined {
  const index = SOCKETCALL.indexOf(name);
  if (index >= 0) return { call: 'socketcall', code: index + 1 };
  return Object.hasOwn(IPC, name) ? { call: 'ipc', code: IPC[name]! } : undefined;
}
