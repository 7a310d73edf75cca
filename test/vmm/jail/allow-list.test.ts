/** The VMM's allow list, compiled by our compiler, decision by decision with the BPF interpreter. */
import test from 'ava';
import { compileSeccomp } from '../../../src/container/seccomp/compile.ts';
import { syscallTable, X32_SYSCALL_BIT } from '../../../src/container/seccomp/syscalls.ts';
import { allowList, birthList, THREAD_FLAGS } from '../../../src/vmm/jail/allow-list.ts';
import * as KVM from '../../../src/vmm/kvm/requests.ts';
import { ARCH_I386, ARCH_X86_64, run, show } from '../../container/seccomp/bpf.ts';

const PID = 4321;
const table = syscallTable('SCMP_ARCH_X86_64');
const once = compileSeccomp(allowList({ pid: PID, again: false })).filter;
const again = compileSeccomp(allowList({ pid: PID, again: true })).filter;
const birth = compileSeccomp(birthList()).filter;

function decide(filter: Uint8Array, name: string, args: (number | bigint)[] = [], arch = ARCH_X86_64): string {
  const nr = table.get(name);
  if (nr === undefined) throw new Error(`no call ${name}`);
  return show(run(filter, { arch, nr, args: [...args, 0, 0, 0, 0, 0, 0].slice(0, 6).map(BigInt) }));
}

const cases: [decision: string, name: string, args?: (number | bigint)[]][] = [
  ['allow', 'read'],
  ['allow', 'futex'],
  ['allow', 'epoll_pwait'],
  ['allow', 'mprotect'],
  ['allow', 'openat2'],
  ['allow', 'preadv'],
  ['allow', 'accept4'],
  ['allow', 'sendto', [9, 0x7000, 100, 0, 0, 0]],
  ['kill process', 'sendto', [9, 0x7000, 100, 0, 0x7000, 16]],
  ['kill process', 'sendto', [9, 0x7000, 100, 0, 1n << 33n, 16]],
  ['kill process', 'sendmsg', [9]],
  ['kill process', 'sendmmsg', [9]],
  ['allow', 'exit_group'],
  ['kill process', 'execve'],
  ['kill process', 'execveat'],
  ['kill process', 'fork'],
  ['kill process', 'vfork'],
  ['kill process', 'socket', [1, 1, 0]],
  ['kill process', 'socket', [2, 1, 0]],
  ['kill process', 'connect'],
  ['kill process', 'bind'],
  ['kill process', 'listen'],
  ['kill process', 'socketpair'],
  ['kill process', 'ptrace'],
  ['kill process', 'mount'],
  ['kill process', 'umount2'],
  ['kill process', 'pivot_root'],
  ['kill process', 'chroot'],
  ['kill process', 'setns'],
  ['kill process', 'unshare'],
  ['kill process', 'bpf'],
  ['kill process', 'kexec_load'],
  ['kill process', 'keyctl'],
  ['kill process', 'add_key'],
  ['kill process', 'userfaultfd'],
  ['kill process', 'perf_event_open'],
  ['kill process', 'io_uring_setup'],
  ['kill process', 'io_uring_enter'],
  ['kill process', 'process_vm_readv'],
  ['kill process', 'open_by_handle_at'],
  ['kill process', 'setuid'],
  ['kill process', 'setresuid'],
  ['kill process', 'capset'],
  ['kill process', 'seccomp'],
  ['kill process', 'mknod'],
  ['kill process', 'pidfd_open'],
  ['kill process', 'memfd_create'],
  ['kill process', 'shmat'],
  ['kill process', 'personality'],
  ['kill process', 'setrlimit'],
  ['kill process', 'sethostname'],
  ['kill process', 'open_tree'],
  ['kill process', 'vmsplice'],
  ['allow', 'clone', [THREAD_FLAGS]],
  ['kill process', 'clone', [17]],
  ['kill process', 'clone', [THREAD_FLAGS | 0x10000000]],
  ['kill process', 'clone', [THREAD_FLAGS & ~0x10000]],
  ['kill process', 'clone', [BigInt(THREAD_FLAGS) | (1n << 33n)]],
  ['errno 38', 'clone3'],
  ['allow', 'ioctl', [9, KVM.KVM_RUN]],
  ['allow', 'ioctl', [9, KVM.KVM_GET_REGS]],
  ['allow', 'ioctl', [9, 0x5421]],
  ['allow', 'ioctl', [9, 0x5401]],
  ['kill process', 'ioctl', [9, KVM.KVM_CREATE_VM]],
  ['kill process', 'ioctl', [9, KVM.KVM_CREATE_VCPU]],
  ['kill process', 'ioctl', [9, KVM.KVM_SET_USER_MEMORY_REGION]],
  ['kill process', 'ioctl', [9, KVM.KVM_SET_SREGS]],
  ['kill process', 'ioctl', [9, 0x5412]],
  ['kill process', 'ioctl', [9, 0x541c]],
  ['kill process', 'ioctl', [9, 0]],
  ['kill process', 'ioctl', [9, BigInt(KVM.KVM_RUN) | (1n << 32n)]],
  ['allow', 'tgkill', [PID, PID + 3, 40]],
  ['kill process', 'tgkill', [1, 1, 9]],
  ['allow', 'kill', [77, 0]],
  ['kill process', 'kill', [PID, 9]],
  ['kill process', 'kill', [-1n & 0xffffffffn, 15]],
  ['kill process', 'tkill', [PID, 9]],
  ['allow', 'fcntl', [3, 6]],
  ['allow', 'fcntl', [3, 1030]],
  ['kill process', 'fcntl', [3, 1031]],
  ['kill process', 'fcntl', [3, 8]],
  ['allow', 'prctl', [15]],
  ['kill process', 'prctl', [22]],
  ['kill process', 'prctl', [4]],
  ['kill process', 'arch_prctl', [0x1002]],
  ['allow', 'prlimit64', [0, 7, 0]],
  ['kill process', 'prlimit64', [0, 7, 0x7ffd00001000n]],
  ['allow', 'mknodat', [3, 0, 0o100644]],
  ['allow', 'mknodat', [3, 0, 0o010644]],
  ['kill process', 'mknodat', [3, 0, 0o020666]],
  ['kill process', 'mknodat', [3, 0, 0o060666]],
];

for (const [decision, name, args] of cases)
  test(`${name}(${(args ?? []).join(', ')}): ${decision}`, (t) => t.is(decide(once, name, args), decision));

test('a machine that will be made again may go on from a snapshot, and every machine may be saved', (t) => {
  const requests = new Map(Object.entries(KVM)) as Map<string, unknown>;
  for (const name of ['XCRS', 'XSAVE', 'DEBUGREGS', 'VCPU_EVENTS', 'MP_STATE', 'IRQCHIP', 'PIT2', 'CLOCK']) {
    const [set, get] = [requests.get(`KVM_SET_${name}`) as number, requests.get(`KVM_GET_${name}`) as number];
    t.is(decide(again, 'ioctl', [9, set]), 'allow', name);
    t.is(decide(once, 'ioctl', [9, set]), 'kill process', name);
    for (const filter of [once, again]) t.is(decide(filter, 'ioctl', [9, get]), 'allow', name);
  }
  for (const request of [KVM.KVM_GET_TSC_KHZ, KVM.KVM_GET_MSRS, KVM.KVM_GET_MSR_INDEX_LIST, KVM.KVM_CHECK_EXTENSION])
    t.is(decide(once, 'ioctl', [9, request]), 'allow');
});

test('a machine that will be made again keeps the calls that make it, and no other', (t) => {
  for (const request of [
    KVM.KVM_CREATE_VM,
    KVM.KVM_CREATE_VCPU,
    KVM.KVM_SET_USER_MEMORY_REGION,
    KVM.KVM_IRQFD,
    KVM.KVM_RUN,
  ])
    t.is(decide(again, 'ioctl', [9, request]), 'allow');
  for (const name of ['timerfd_create', 'timerfd_settime'])
    t.deepEqual([decide(once, name), decide(again, name)], ['kill process', 'allow']);
  t.is(decide(again, 'ioctl', [9, KVM.KVM_X86_SET_MSR_FILTER]), 'allow');
  t.is(decide(again, 'ioctl', [9, 0xae99]), 'kill process');
  for (const name of ['execve', 'socket', 'mount', 'fork']) t.is(decide(again, name), 'kill process');
});

test('no call of another architecture', (t) => {
  for (const [name, nr] of table) {
    t.is(show(run(once, { arch: ARCH_I386, nr, args: [0n, 0n, 0n, 0n, 0n, 0n] })), 'kill thread', name);
    t.is(
      show(run(once, { arch: ARCH_X86_64, nr: nr + X32_SYSCALL_BIT, args: [0n, 0n, 0n, 0n, 0n, 0n] })),
      'kill thread',
      name,
    );
  }
});

test('what is newer than the list is not there', (t) => {
  const highest = Math.max(
    ...allowList({ pid: PID, again: true }).syscalls!.flatMap(({ names }) => names.map((name) => table.get(name)!)),
  );
  for (let nr = highest + 1; nr < 600; nr++)
    t.is(show(run(once, { arch: ARCH_X86_64, nr, args: [0n, 0n, 0n, 0n, 0n, 0n] })), 'errno 38');
});

test('every name is a call: a misspelt one would be skipped', (t) => {
  for (const list of [allowList({ pid: PID, again: true }), birthList()])
    t.deepEqual(
      list.syscalls!.flatMap(({ names }) => names.filter((name) => !table.has(name))),
      [],
    );
});

for (const [decision, name, args] of [
  ['errno 38', 'io_uring_setup'],
  ['errno 1', 'socket', [2]],
  ['errno 1', 'socket', [16]],
  ['allow', 'socket', [1]],
  ['errno 1', 'unshare'],
  ['errno 1', 'mount'],
  ['errno 1', 'ptrace'],
  ['allow', 'execve'],
  ['allow', 'seccomp'],
  ['allow', 'clone3'],
] as [string, string, number[]?][])
  test(`from birth: ${name}(${(args ?? []).join(', ')}): ${decision}`, (t) =>
    t.is(decide(birth, name, args), decision));
