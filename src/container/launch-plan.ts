/**
 * The launch plan: a list of system calls that TypeScript decides and `guest/init/` (a static C program) carries out in the
 * new process, where no JavaScript can run. This file has the steps and their binary form; it performs nothing.
 *
 * A plan is linear. It begins in the spawned executor and moves into a child at each `fork`; the process left behind becomes a
 * monitor that waits, reports and exits. Paths marked *in root* are resolved with
 * openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) below the folder named by the last `setRoot` step, so that an image's
 * symbolic links cannot lead outside; missing components are created there (mode 0755).
 */

/** Points at which the executor stops until its parent answers; the parent learns the pid to act on. */
export type AwaitTag =
  /** after unshare(CLONE_NEWUSER): the parent writes uid_map and gid_map */
  | 'idmap'
  /** the process exists, still in its parent's cgroup: the parent moves it */
  | 'cgroup'
  /** network namespace made: the parent attaches interfaces (pasta, veth) */
  | 'network'
  /** root mounted and entered: everything is ready but the exec (OCI `create` ends here) */
  | 'exec';

export type Step =
  // — namespaces and processes —
  /** setns(2): join the namespace behind a path (/proc/PID/ns/net) or an inherited fd; `type` is a CLONE_NEW* flag or 0 */
  | { op: 'setns'; path: string; type: number }
  /** setns(2) with a pidfd: join several namespaces of a running process at once (Linux 5.8) */
  | { op: 'setnsPid'; pid: number; types: number }
  /** unshare(2), CLONE_NEW* flags */
  | { op: 'unshare'; flags: number }
  /** report to the parent and wait for its answer */
  | { op: 'await'; tag: AwaitTag }
  /** fork(2): the plan goes on in the child; the parent waits for it and reports pid, exit status */
  | { op: 'fork' }
  /** fork(2) with the roles turned round: the process stays as PID 1, reaps orphans and forwards signals; the child goes on */
  | { op: 'reaper' }
  /** prctl(2) PR_SET_PDEATHSIG */
  | { op: 'parentDeathSignal'; signal: number }
  | { op: 'setsid' }
  /** keyctl(2) KEYCTL_JOIN_SESSION_KEYRING, a new one: the host session's keys stay outside; ENOSYS and EPERM are fine */
  | { op: 'newSessionKeyring' }
  // — file systems —
  /** the folder in-root paths are resolved below */
  | { op: 'setRoot'; path: string }
  /**
   * mount(2). `inRoot`: target resolved in root; `create` makes what is missing; `noSymlinks` refuses a symlink in the target (/proc, /sys);
   * `modeFromTarget`: `mode=` with the permission bits of the existing target is put before `data` (runc's rule for tmpfs)
   */
  | { op: 'mount'; source: string; target: string; fstype: string; flags: number; data: string; inRoot?: boolean; create?: 'directory' | 'file'; noSymlinks?: boolean; modeFromTarget?: boolean }
  /**
   * mount_setattr(2) on a mounted target, e.g. AT_RECURSIVE + MOUNT_ATTR_RDONLY for recursive read-only (Linux 5.12). It only adds and takes
   * away what is named, so the flags a user namespace may not drop stay. Before 5.12 (ENOSYS): MS_BIND|MS_REMOUNT of the one mount with
   * the flags of statfs(2) and `set` or-ed in.
   */
  | { op: 'mountAttributes'; target: string; set: number; clear: number; recursive: boolean; propagation?: number; inRoot?: boolean }
  /** umount2(2) */
  | { op: 'umount'; target: string; flags: number }
  /** mkdirat(2); an existing directory is fine */
  | { op: 'mkdir'; path: string; mode: number; inRoot?: boolean }
  /** symlinkat(2); an existing link is fine */
  | { op: 'symlink'; target: string; path: string; inRoot?: boolean }
  /** mknodat(2) with S_IFCHR/S_IFBLK/S_IFIFO in mode */
  | { op: 'mknod'; path: string; mode: number; major: number; minor: number; inRoot?: boolean }
  | { op: 'chown'; path: string; uid: number; gid: number; inRoot?: boolean }
  | { op: 'chmod'; path: string; mode: number; inRoot?: boolean }
  /** open(O_WRONLY [|O_CREAT|O_TRUNC]), write, close: sysctls (in root, /proc/sys/…), oom_score_adj, files of /etc */
  | { op: 'writeFile'; path: string; content: Uint8Array | string; mode?: number; create?: boolean; inRoot?: boolean }
  /** hide a path: /dev/null over a file, an empty read-only tmpfs over a directory; absent is fine */
  | { op: 'maskPath'; path: string }
  /** bind the path to itself, read-only; absent is fine */
  | { op: 'readonlyPath'; path: string }
  /** pivot_root(2) into the folder by the "." "." idiom, and detach the old root */
  | { op: 'pivotRoot'; path: string }
  | { op: 'chdir'; path: string; /** create it when missing, owned by uid:gid */ create?: boolean; uid?: number; gid?: number }
  | { op: 'umask'; mask: number }
  // — identity —
  | { op: 'sethostname'; name: string }
  | { op: 'setdomainname'; name: string }
  /** setrlimit(2); RLIM_INFINITY is 2^64-1n */
  | { op: 'rlimit'; resource: number; soft: bigint; hard: bigint }
  | { op: 'setgroups'; gids: number[] }
  | { op: 'setgid'; gid: number }
  /** setresuid(2); capabilities are kept across it (PR_SET_KEEPCAPS) until `capabilities` */
  | { op: 'setuid'; uid: number }
  /**
   * Docker's `--user`, resolved against /etc/passwd and /etc/group of the root entered: sets gid, groups and uid like the
   * three above, and HOME in the environment unless it is given. Bounded parse: lines over 4 KiB and files over 1 MiB are refused.
   */
  | { op: 'setuser'; user: string; additionalGroups: string[] }
  /**
   * capset(2), prctl(PR_CAPBSET_DROP), PR_CAP_AMBIENT; bit masks of linux/capability.h. `rootOnly`: when the uid is not 0 (known only
   * after `setuser`) effective and permitted become what `ambient` has, as Docker does for a non-root user
   */
  | { op: 'capabilities'; bounding: bigint; effective: bigint; permitted: bigint; inheritable: bigint; ambient: bigint; rootOnly?: boolean }
  | { op: 'noNewPrivileges' }
  /** seccomp(2) SECCOMP_SET_MODE_FILTER; `filter` is an array of struct sock_filter (8 bytes each, at most 4096) */
  | { op: 'seccomp'; filter: Uint8Array; flags: number }
  // — stdio and exec —
  /**
   * posix_openpt on the container's own devpts, master sent to the parent (SCM_RIGHTS), slave becomes stdin, stdout, stderr and the
   * controlling terminal; `console` binds it over /dev/console
   */
  | { op: 'openPty'; columns: number; rows: number; console: boolean }
  /** fchown(2) of stdin, stdout, stderr (pipes only), so that a non-root user can reopen /dev/stdout */
  | { op: 'chownStdio' }
  /** close_range(2) with CLOSE_RANGE_CLOEXEC from this fd on */
  | { op: 'closeFrom'; fd: number }
  /** replaces the whole environment */
  | { op: 'environment'; env: string[] }
  /** execve(2), with the shell's PATH rules for a name without a slash; a plan's last step */
  | { op: 'exec'; args: string[] };

export type LaunchPlan = Step[];
