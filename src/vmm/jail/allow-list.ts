/**
 * The system calls of a running VMM: everything else kills the process. Made by tracing the supervisor (Node, libuv,
 * V8, SQLite, koffi) with a guest beside it, and by reading what the devices call; each entry says who needs it. A call
 * that is not needed once the machine runs is not here: no process can be made, no program executed, no socket opened,
 * nothing mounted, no namespace joined, nobody else signalled.
 *
 * seccomp sees numbers, not paths: which files can be opened is the mount namespace's work (src/rootless/jail.ts).
 * Decides only; src/supervisor/lock-down.ts compiles and installs it.
 */
import type { Seccomp } from '../../spec.ts';
import * as KVM from '../kvm/requests.ts';

type Call = NonNullable<Seccomp['syscalls']>[number];
type Condition = NonNullable<Call['args']>[number];

const allow = (names: string, ...args: Condition[]): Call => ({
  names: names.split(' '),
  action: 'SCMP_ACT_ALLOW',
  ...(args.length > 0 && { args }),
});
const is = (index: number, value: number): Condition => ({ index, op: 'SCMP_CMP_EQ', value });
const masked = (index: number, mask: number, value: number): Condition => ({
  index,
  op: 'SCMP_CMP_MASKED_EQ',
  value: mask,
  valueTwo: value,
});
/** one rule for each value an argument may have */
const oneOf = (name: string, index: number, values: readonly number[]): Call[] =>
  values.map((value) => allow(name, is(index, value)));

/**
 * include/uapi/linux/sched.h: exactly what glibc's pthread_create passes (VM FS FILES SIGHAND THREAD SYSVSEM SETTLS
 * PARENT_SETTID CHILD_CLEARTID)
 */
export const THREAD_FLAGS = 0x3d0f00;
const ENOSYS = 38;

/** include/uapi/asm-generic/ioctls.h */
const TCGETS = 0x5401;
const FIONREAD = 0x541b;
const FIONBIO = 0x5421;
const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;

/**
 * include/uapi/asm-generic/fcntl.h, linux/fcntl.h: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW,
 * the three of open file descriptions, F_DUPFD_CLOEXEC
 */
const FCNTL_COMMANDS = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030];

/** include/uapi/linux/prctl.h: threads get names, V8 names its anonymous mappings */
const PR_SET_NAME = 15;
const PR_SET_VMA = 0x53564d41;

/** inode(7): what a guest may make in a shared folder; never a device */
const S_IFMT = 0o170000;
const NODE_KINDS = [0, 0o100000, 0o010000, 0o140000];

/** while the guest runs: enter it, and say where it was when KVM gave up */
const RUN_REQUESTS = [KVM.KVM_RUN, KVM.KVM_GET_REGS];

/** A running machine that is saved: what KVM knows of it is read. src/vmm/snapshot/kvm-state.ts */
const SAVE_REQUESTS = [
  KVM.KVM_CHECK_EXTENSION,
  KVM.KVM_GET_MSR_INDEX_LIST,
  KVM.KVM_GET_TSC_KHZ,
  KVM.KVM_GET_MSRS,
  KVM.KVM_GET_SREGS,
  KVM.KVM_GET_XCRS,
  KVM.KVM_GET_XSAVE,
  KVM.KVM_GET_DEBUGREGS,
  KVM.KVM_GET_LAPIC,
  KVM.KVM_GET_VCPU_EVENTS,
  KVM.KVM_GET_MP_STATE,
  KVM.KVM_GET_IRQCHIP,
  KVM.KVM_GET_PIT2,
  KVM.KVM_GET_CLOCK,
];

const MEMORY = [
  // V8's heaps and code, glibc's arenas, SQLite's shared index, guest memory given back by the balloon
  allow('mmap munmap mprotect mremap madvise brk'),
  // V8 guards its code pages with a memory key where the CPU has them; membarrier after it has written code
  allow('pkey_alloc pkey_mprotect pkey_free membarrier'),
];

const THREADS = [
  allow('futex gettid getpid getppid exit exit_group sched_yield sched_getaffinity set_robust_list rseq'),
  // glibc's pthread_getattr_np, by which V8's threads find their stacks, fills in the policy too
  allow('sched_getparam sched_getscheduler sched_get_priority_min sched_get_priority_max'),
  // pthread_create, and nothing that is another process; clone3 hides its flags in memory, glibc does without it
  allow('clone', is(0, THREAD_FLAGS)),
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
  allow('rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall'),
  allow('prctl', is(0, PR_SET_NAME)),
  allow('prctl', is(0, PR_SET_VMA)),
];

const EVENTS = [
  // libuv's loop; the vCPU threads and the devices speak by eventfd
  allow('epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 poll ppoll pipe2'),
  allow('clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time'),
];

const DESCRIPTORS = [
  // preadv and pwritev2: the block device, straight between guest memory and the file
  allow('read write readv writev pread64 pwrite64 preadv pwritev pwritev2 close dup dup2 dup3 lseek'),
  ...oneOf('fcntl', 1, FCNTL_COMMANDS),
  ...oneOf('ioctl', 1, [TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, ...RUN_REQUESTS, ...SAVE_REQUESTS]),
];

const FILES = [
  // the database and its log, the container's log (rotated), folders removed by --rm, Node's modules
  allow(
    'open openat access faccessat faccessat2 stat lstat fstat newfstatat statx readlink readlinkat getdents64 getcwd statfs fstatfs',
  ),
  allow('mkdir mkdirat unlink unlinkat rmdir rename renameat renameat2 chmod fchmod fchmodat umask'),
  allow('fsync fdatasync ftruncate fallocate flock'),
  // shared folders: one component at a time, beneath the folder; owners, times, links and attributes as the guest sets
  // them
  allow('openat2 linkat symlinkat fchown fchownat utimensat copy_file_range syncfs'),
  allow('getxattr fgetxattr setxattr fsetxattr listxattr flistxattr removexattr fremovexattr'),
  // which of a share's files the host has changed: of those that this process can reach
  allow('inotify_init1 inotify_add_watch inotify_rm_watch'),
  ...NODE_KINDS.map((kind) => allow('mknodat', masked(2, S_IFMT, kind))),
];

const SOCKETS = [
  // clients of the supervisor's socket, which listens already: no socket(2), bind(2), connect(2)
  allow('accept4 accept recvfrom recvmsg shutdown getsockopt setsockopt getsockname getpeername'),
  // A socket that is connected to a resolver of the host's would reach every other address of the host's network with
  // an address in the call, and sendmsg(2) has it where no filter sees it.
  allow('sendto', is(4, 0)),
];

const FACTS = [
  allow('getrandom uname sysinfo getrusage times getuid geteuid getgid getegid getrlimit'),
  // read a limit, never set one
  allow('prlimit64', is(2, 0)),
];

/**
 * For a machine that is made again in this process (a restart policy): everything between opening /dev/kvm and the
 * first instruction.
 */
const SETUP_REQUESTS = [
  KVM.KVM_GET_API_VERSION,
  KVM.KVM_CREATE_VM,
  KVM.KVM_CHECK_EXTENSION,
  KVM.KVM_GET_VCPU_MMAP_SIZE,
  KVM.KVM_GET_SUPPORTED_CPUID,
  KVM.KVM_CREATE_VCPU,
  KVM.KVM_SET_USER_MEMORY_REGION,
  KVM.KVM_SET_TSS_ADDR,
  KVM.KVM_SET_IDENTITY_MAP_ADDR,
  KVM.KVM_CREATE_IRQCHIP,
  KVM.KVM_IRQFD,
  KVM.KVM_CREATE_PIT2,
  KVM.KVM_X86_SET_MSR_FILTER,
  KVM.KVM_IOEVENTFD,
  KVM.KVM_SET_REGS,
  KVM.KVM_GET_SREGS,
  KVM.KVM_SET_SREGS,
  KVM.KVM_SET_MSRS,
  KVM.KVM_SET_FPU,
  KVM.KVM_GET_LAPIC,
  KVM.KVM_SET_LAPIC,
  KVM.KVM_SET_CPUID2,
];

/** For a machine that goes on from a snapshot, beside the above: src/vmm/snapshot/kvm-state.ts. */
const RESTORE_REQUESTS = [
  KVM.KVM_GET_TSC_KHZ,
  KVM.KVM_GET_MSRS,
  KVM.KVM_SET_XCRS,
  KVM.KVM_SET_XSAVE,
  KVM.KVM_SET_DEBUGREGS,
  KVM.KVM_SET_VCPU_EVENTS,
  KVM.KVM_SET_MP_STATE,
  KVM.KVM_SET_IRQCHIP,
  KVM.KVM_SET_PIT2,
  KVM.KVM_SET_CLOCK,
];

const EPERM = 1;
const AF_UNIX = 1;

/**
 * From birth until the list above takes over. io_uring above all: its operations pass by any filter, and libuv would
 * have made a ring by then; it does without when it gets ENOSYS. The rest is what a VMM never needs at any time.
 */
export function birthList(): Seccomp {
  const deny = (names: string, errnoRet: number, ...args: Condition[]): Call => ({
    names: names.split(' '),
    action: 'SCMP_ACT_ERRNO',
    errnoRet,
    ...(args.length > 0 && { args }),
  });
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [
      deny('io_uring_setup io_uring_enter io_uring_register', ENOSYS),
      deny('socket', EPERM, { index: 0, op: 'SCMP_CMP_NE', value: AF_UNIX }),
      deny(
        'mount umount2 pivot_root chroot open_tree move_mount mount_setattr fsopen fsconfig fsmount fspick setns unshare',
        EPERM,
      ),
      deny('ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd perf_event_open userfaultfd bpf', EPERM),
      deny('add_key request_key keyctl open_by_handle_at name_to_handle_at personality', EPERM),
      deny(
        'kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct quotactl iopl ioperm',
        EPERM,
      ),
    ],
  };
}

export interface AllowListOptions {
  /** of the process that gets the filter: it may signal its own threads, and ask whether another process exists */
  pid: number;
  /** another machine will be made here later: a container with a restart policy */
  again: boolean;
}

/** The list as an OCI seccomp profile, for src/container/seccomp's compiler. */
export function allowList({ pid, again }: AllowListOptions): Seccomp {
  return {
    defaultAction: 'SCMP_ACT_KILL_PROCESS',
    // the speculative store bypass mitigation stays on, as seccomp gives it: the guest is hostile
    flags: ['SECCOMP_FILTER_FLAG_TSYNC'],
    syscalls: [
      ...MEMORY,
      ...THREADS,
      // a vCPU is brought out of KVM_RUN by a signal to its thread; abort(3)
      allow('tgkill', is(0, pid)),
      // signal 0: is the process that claims this container alive
      allow('kill', is(1, 0)),
      ...EVENTS,
      ...DESCRIPTORS,
      ...FILES,
      ...SOCKETS,
      ...FACTS,
      // the next machine of a restart policy hears that the host's clock was set
      ...(again
        ? [...oneOf('ioctl', 1, [...SETUP_REQUESTS, ...RESTORE_REQUESTS]), allow('timerfd_create timerfd_settime')]
        : []),
    ],
  };
}
