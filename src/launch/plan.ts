/**
 * The launch plan: a list of system calls that TypeScript decides and `guest/init/` (a static C program) carries out in
 * the new process, where no JavaScript can run. This file has only types; encoding.ts has the binary form, executor.ts
 * runs a plan.
 *
 * A plan is linear. It begins in the spawned executor and moves into a child at each `fork`; the process left behind
 * becomes a monitor that waits, reports and exits. Paths marked *in root* are resolved with openat2(RESOLVE_IN_ROOT |
 * RESOLVE_NO_MAGICLINKS) below the folder named by the last `setRoot` step, so that an image's symbolic links cannot
 * lead outside; missing components are created there (mode 0755).
 */
import type { MountAttributes } from './mount-options.ts';

/** The points at which the executor stops until its parent answers; the parent learns the pid to act on. */
export type AwaitTag =
  /** after unshare(CLONE_NEWUSER): the parent writes uid_map and gid_map */
  | 'idmap'
  /** the process exists and is still in its parent's cgroup: the parent moves it */
  | 'cgroup'
  /** the network namespace exists: the parent attaches interfaces (pasta, veth) */
  | 'network'
  /** the root is mounted and entered: everything is ready but the exec (OCI `create` ends here) */
  | 'exec';

/**
 * What a `sockets` step can make: netlink sockets of the network namespace (rtnetlink(7), and nfnetlink for nf_tables),
 * a UDP socket and a listening TCP socket at an address, and descriptors of the process's namespaces; and `tap`, what a
 * step of that name has made.
 */
export type SocketKind = 'rtnetlink' | 'netfilter' | 'udp' | 'tcp' | 'network-namespace' | 'user-namespace' | 'tap';

export type Step =
  // — namespaces and processes —
  /**
   * setns(2): joins the namespace behind a path (/proc/PID/ns/net); `type` is a CLONE_NEW* flag or 0. Joining a user or
   * a pid namespace hides the executor from the processes in it until exec (PR_SET_DUMPABLE): its /proc/self is not
   * writable from then on, and its /proc/PID/ns cannot be opened. `visible` leaves the executor visible, for a
   * namespace in which only husk's own processes are.
   */
  | { op: 'setns'; path: string; type: number; visible?: boolean }
  /**
   * setns(2) with a pidfd: joins several namespaces of a running process at once (Linux 5.8) and hides the executor as
   * `setns` does
   */
  | { op: 'setnsPid'; pid: number; types: number }
  /** unshare(2), CLONE_NEW* flags */
  | { op: 'unshare'; flags: number }
  /**
   * unshare(2) of a user namespace inside the present one, with these lines of uid_map and gid_map (user_namespaces(7),
   * ids of the present namespace outside). A fork that stays in the present namespace writes them, so the parent is not
   * asked; the present namespace must have every capability and the ids. Each map has at most 4095 bytes.
   */
  | { op: 'mapUsers'; uid: string; gid: string }
  /**
   * makes each of these and sends them to the parent (LaunchOptions.onSockets). A netlink socket keeps the rights of
   * its maker: the parent, outside, sets the namespace up with it. `address` is that of `udp` and `tcp`, whose ports
   * the kernel chooses; they do not block. `asking`: a `tcp` does not listen, and is there to connect
   */
  | { op: 'sockets'; make: readonly Exclude<SocketKind, 'tap'>[]; address?: string; asking?: boolean }
  /**
   * TUNSETIFF of a new tap in the present network namespace (Documentation/networking/tuntap.rst; frames bare, one a
   * read), sent to the parent as `sockets` does; it does not block, and goes with its last descriptor. /dev/net/tun is
   * opened here, for an interface is of its opener's namespace. `name`: 1 to 15 bytes
   */
  | { op: 'tap'; name: string }
  /** report to the parent (LaunchOptions.onAwait) and wait for its answer */
  | { op: 'await'; tag: AwaitTag }
  /**
   * fork(2): the plan goes on in the child. The parent stays as a monitor with no capability but CAP_KILL. The monitor
   * waits for the child, reports its wait status, exits with its code (128 + signal), and kills it when the process
   * that started the monitor is gone.
   */
  | { op: 'fork' }
  /**
   * fork(2) with the roles exchanged: the process stays as PID 1, reaps orphans, forwards signals and exits with its
   * child's code; the child goes on, in a process group of its own that is put in the terminal's foreground. The reaper
   * keeps the identity, capabilities and seccomp filter that it has at that point, so this step belongs directly before
   * `exec`. The reaper holds no stdio.
   */
  | { op: 'reaper' }
  /**
   * prctl(2) PR_SET_PDEATHSIG. Without this step the signal is SIGKILL. The executor sets the signal again after every
   * change of identity, which clears it. With 0 the process outlives its launcher.
   */
  | { op: 'parentDeathSignal'; signal: number }
  /** setsid(2) */
  | { op: 'setsid' }
  /**
   * keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: joins a new keyring, so that the host session's keys stay outside; ENOSYS
   * and EPERM are no errors
   */
  | { op: 'newSessionKeyring' }
  /** netdevice(7) SIOCSIFFLAGS: a new network namespace has its loopback interface down */
  | { op: 'loopbackUp' }
  // — file systems —
  /** open(2) O_PATH: sets the folder below which in-root paths are resolved; `pivotRoot` sets it to the new / */
  | { op: 'setRoot'; path: string }
  /**
   * mount(2), by its flags:
   *
   * - MS_BIND [|MS_REC]: open_tree(2) of `source` (a path of the host). The other flags are set on the new mount alone
   *   with mount_setattr(2), like propagation flags (MS_PRIVATE … [|MS_REC]), before move_mount(2) attaches the mount;
   *   flags that a user namespace has locked stay. With `data` the source is that relative path beneath `source`, and
   *   no link in the path leads out of it (RESOLVE_BENEATH).
   * - MS_BIND|MS_REMOUNT: mount_setattr(2) adds the flags to the mount at `target`; none is cleared.
   * - MS_REMOUNT: mount(2), flags and data of the file system itself.
   * - MS_MOVE: move_mount(2).
   * - propagation flags and no `fstype`: mount_setattr(2) of `target` (recursive with MS_REC).
   * - otherwise a new file system; `data` is at most 4095 bytes. In root it is made by fsopen(2), each option at most
   *   255 bytes, and attached like a bind; elsewhere by mount(2), where a relative lowerdir= means the working folder.
   *
   * `inRoot`: the target is resolved in root; `create` makes what is missing (`like-source`: a folder when the source
   * is one, else a file); `noSymlinks` refuses a symlink in the target (/proc, /sys); `modeFromTarget` puts `mode=`
   * with the permission bits of the existing target before `data` (runc's rule for tmpfs). For a bind, or in root,
   * `attributes`, then `recursive` (for every mount below too) and then `propagation` (MS_* flags, one by one) are set
   * before the mount is attached: no process ever sees the mount without them, and no path is looked up twice.
   */
  | {
      op: 'mount';
      source: string;
      /** the source as the user knows it; only for errors, and not part of the encoded plan */
      shown?: string;
      target: string;
      fstype: string;
      flags: number;
      data: string;
      attributes?: MountAttributes;
      recursive?: MountAttributes;
      propagation?: readonly number[];
      inRoot?: boolean;
      create?: 'directory' | 'file' | 'like-source';
      noSymlinks?: boolean;
      modeFromTarget?: boolean;
    }
  /**
   * mount_setattr(2) on a mounted target that no other process can change (a new mount has its own in its `mount`
   * step), e.g. AT_RECURSIVE + MOUNT_ATTR_RDONLY for recursive read-only (Linux 5.12). The step adds and clears only
   * what is named, so the flags that a user namespace may not drop stay.
   */
  | {
      op: 'mountAttributes';
      target: string;
      set: number;
      clear: number;
      recursive: boolean;
      propagation?: number;
      inRoot?: boolean;
    }
  /**
   * open_tree(2) with OPEN_TREE_CLONE of `source`, a path of the host, or of `beneath` in it (RESOLVE_BENEATH, as for
   * `mount`). The tree is held under the number `tree` (0…2047) until `placeTree`, whatever is mounted over the source
   * meanwhile.
   */
  | { op: 'holdTree'; source: string; beneath?: string; tree: number; recursive: boolean }
  /**
   * move_mount(2) of a held tree; a missing target is made as a folder or a file, like the tree. The number is free
   * again afterwards.
   */
  | { op: 'placeTree'; tree: number; target: string; inRoot?: boolean }
  /** umount2(2); `inRoot` always detaches (MNT_DETACH), because the executor holds the folder meanwhile */
  | { op: 'umount'; target: string; flags: number; inRoot?: boolean }
  /** mkdirat(2); an existing directory is no error */
  | { op: 'mkdir'; path: string; mode: number; inRoot?: boolean }
  /** symlinkat(2); an existing link is no error */
  | { op: 'symlink'; target: string; path: string; inRoot?: boolean }
  /**
   * mknodat(2) with S_IFCHR/S_IFBLK/S_IFIFO in mode; S_IFREG makes an empty file, unless a file of any kind is there
   * already
   */
  | { op: 'mknod'; path: string; mode: number; major: number; minor: number; inRoot?: boolean }
  /** fchownat(2) */
  | { op: 'chown'; path: string; uid: number; gid: number; inRoot?: boolean }
  /** fchmod(2) */
  | { op: 'chmod'; path: string; mode: number; inRoot?: boolean }
  /**
   * open(2) O_WRONLY|O_NONBLOCK [|O_CREAT|O_TRUNC] and one write(2) of at most 1 MiB: for sysctls (in root,
   * /proc/sys/…), oom_score_adj, files of /etc. A path that begins with /proc/ must lead to a real procfs.
   */
  | { op: 'writeFile'; path: string; content: Uint8Array | string; mode?: number; create?: boolean; inRoot?: boolean }
  /**
   * hides a path in root: binds the root's own /dev/null (checked to be 1:3) over a file, and mounts an empty read-only
   * tmpfs over a directory; a missing path is no error
   */
  | { op: 'maskPath'; path: string }
  /** binds the path in root to itself, recursively read-only; a missing path is no error */
  | { op: 'readonlyPath'; path: string }
  /**
   * pivot_root(2) into the folder (a mount of its own) by the "." "." idiom; the old root becomes a slave and is
   * detached
   */
  | { op: 'pivotRoot'; path: string }
  /** chdir(2); a folder outside of the root is refused (getcwd(3)) */
  | {
      op: 'chdir';
      path: string;
      /** create it when missing, owned by uid:gid */ create?: boolean;
      uid?: number;
      gid?: number;
    }
  /** umask(2) of the command, 022 without this step; modes within a plan are not masked */
  | { op: 'umask'; mask: number }
  // — identity —
  /** sethostname(2) */
  | { op: 'sethostname'; name: string }
  /** setdomainname(2) */
  | { op: 'setdomainname'; name: string }
  /** setrlimit(2); RLIM_INFINITY is 2^64-1n */
  | { op: 'rlimit'; resource: number; soft: bigint; hard: bigint }
  /** setgroups(2) */
  | { op: 'setgroups'; gids: number[] }
  /** setresgid(2) */
  | { op: 'setgid'; gid: number }
  /** setresuid(2); capabilities are kept across it (PR_SET_KEEPCAPS) and effective again, until `capabilities` */
  | { op: 'setuid'; uid: number }
  /**
   * Docker's `--user`, resolved against /etc/passwd and /etc/group of the root entered: sets gid, groups and uid like
   * the three steps above, and HOME in the environment unless HOME is given. The primary group is a supplementary one
   * too. Parsing is bounded: files that are not regular or over 1 MiB, and more than 1024 groups, are refused.
   */
  | { op: 'setuser'; user: string; additionalGroups: string[] }
  /**
   * capset(2), prctl(PR_CAPBSET_DROP), PR_CAP_AMBIENT; bit masks of linux/capability.h. With `rootOnly`, when the uid
   * is not 0 (known only after `setuser`), effective and permitted become what `ambient` has, as in Docker for a user
   * who is not root.
   */
  | {
      op: 'capabilities';
      bounding: bigint;
      effective: bigint;
      permitted: bigint;
      inheritable: bigint;
      ambient: bigint;
      rootOnly?: boolean;
    }
  /** prctl(2) PR_SET_NO_NEW_PRIVS */
  | { op: 'noNewPrivileges' }
  /**
   * seccomp(2) SECCOMP_SET_MODE_FILTER; `filter` is an array of struct sock_filter (8 bytes each, at most 4096). Later
   * steps run under the filter: without noNewPrivileges this step must come before `capabilities`.
   */
  | { op: 'seccomp'; filter: Uint8Array; flags: number }
  // — stdio and exec —
  /**
   * pts(4): opens a terminal of the container's own devpts (/dev/pts/ptmx in root, checked to be one), sends the master
   * to the parent (SCM_RIGHTS), sets the size (TIOCSWINSZ) and calls setsid(2); the slave becomes the controlling
   * terminal (TIOCSCTTY) and stdin, stdout and stderr; `console` binds it over /dev/console
   */
  | { op: 'openPty'; columns: number; rows: number; console: boolean }
  /**
   * fchown(2) of stdin, stdout and stderr (pipes and terminals) to the process's user, now and at each later change of
   * user
   */
  | { op: 'chownStdio' }
  /** close_range(2) with CLOSE_RANGE_CLOEXEC from this fd on, at exec; from 3 without this step */
  | { op: 'closeFrom'; fd: number }
  /** replaces the whole environment */
  | { op: 'environment'; env: string[] }
  /**
   * execve(2), with execvp(3)'s PATH rules for a name without a slash, on the plan's own PATH; no shell is tried for a
   * file of unknown format. Signal mask and dispositions are the defaults. A plan's last step is `exec` or `exit`.
   */
  | { op: 'exec'; args: string[] }
  /**
   * _exit(2) with 0, for a plan that only leaves something behind: what `sockets` has sent; `started` then reports the
   * plan's end
   */
  | { op: 'exit' };

export type LaunchPlan = Step[];
