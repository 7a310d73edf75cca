/**
 * The launch plan: a list of system calls that TypeScript decides and `guest/init/` (a static C program) carries out in
 * the new process, where no JavaScript can run. Types only; encoding.ts has the binary form, executor.ts runs it.
 *
 * A plan is linear. It begins in the spawned executor and moves into a child at each `fork`; the process left behind
 * becomes a monitor that waits, reports and exits. Paths marked *in root* are resolved with openat2(RESOLVE_IN_ROOT |
 * RESOLVE_NO_MAGICLINKS) below the folder named by the last `setRoot` step, so that an image's symbolic links cannot
 * lead outside; missing components are created there (mode 0755).
 */
import type { MountAttributes } from './mount-options.ts';

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
  /**
   * setns(2): join the namespace behind a path (/proc/PID/ns/net); `type` is a CLONE_NEW* flag or 0. Joining a user or
   * a pid namespace hides the executor from the processes in it until exec (PR_SET_DUMPABLE): its /proc/self is not
   * writable from then on, and its /proc/PID/ns cannot be opened.
   */
  | { op: 'setns'; path: string; type: number }
  /**
   * setns(2) with a pidfd: join several namespaces of a running process at once (Linux 5.8); hides the executor as
   * `setns` does
   */
  | { op: 'setnsPid'; pid: number; types: number }
  /** unshare(2), CLONE_NEW* flags */
  | { op: 'unshare'; flags: number }
  /** report to the parent (LaunchOptions.onAwait) and wait for its answer */
  | { op: 'await'; tag: AwaitTag }
  /**
   * fork(2): the plan goes on in the child. The parent stays as a monitor with no capability but CAP_KILL: it waits for
   * the child, reports its wait status, exits with its code (128 + signal), and kills it when the process that started
   * the monitor is gone.
   */
  | { op: 'fork' }
  /**
   * fork(2) with the roles turned round: the process stays as PID 1, reaps orphans, forwards signals and exits with its
   * child's code; the child goes on, in a process group of its own that is put in the terminal's foreground. The reaper
   * keeps the identity, capabilities and seccomp filter it has by then, so this step belongs directly before `exec`. It
   * holds no stdio.
   */
  | { op: 'reaper' }
  /**
   * prctl(2) PR_SET_PDEATHSIG. SIGKILL without this step, and set again after every change of identity, which clears
   * it. 0: the process outlives its launcher.
   */
  | { op: 'parentDeathSignal'; signal: number }
  /** setsid(2) */
  | { op: 'setsid' }
  /**
   * keyctl(2) KEYCTL_JOIN_SESSION_KEYRING, a new one: the host session's keys stay outside; ENOSYS and EPERM are fine
   */
  | { op: 'newSessionKeyring' }
  /** netdevice(7) SIOCSIFFLAGS: a new network namespace has its loopback interface down */
  | { op: 'loopbackUp' }
  // — file systems —
  /** open(2) O_PATH: the folder in-root paths are resolved below; `pivotRoot` sets it to the new / */
  | { op: 'setRoot'; path: string }
  /**
   * mount(2), by its flags:
   *
   * - MS_BIND [|MS_REC]: open_tree(2) of `source` (a path of the host), the other flags set on the new mount alone with
   *   mount_setattr(2), and propagation flags (MS_PRIVATE … [|MS_REC]), before it is attached by move_mount(2); flags a
   *   user namespace has locked stay. With `data`: of that relative path beneath `source`, which no link in it leads out
   *   of (RESOLVE_BENEATH).
   * - MS_BIND|MS_REMOUNT: mount_setattr(2) adds the flags to the mount at `target`; none is cleared.
   * - MS_REMOUNT: mount(2), flags and data of the file system itself.
   * - MS_MOVE: move_mount(2).
   * - propagation flags and no `fstype`: mount_setattr(2) of `target` (recursive with MS_REC).
   * - else a new file system; `data` is at most 4095 bytes. In root it is made by fsopen(2), each option at most 255
   *   bytes, and attached like a bind; elsewhere by mount(2), where a relative lowerdir= means the working folder.
   *
   * `inRoot`: target resolved in root; `create` makes what is missing (`like-source`: a folder when the source is one,
   * else a file); `noSymlinks` refuses a symlink in the target (/proc, /sys); `modeFromTarget`: `mode=` with the
   * permission bits of the existing target is put before `data` (runc's rule for tmpfs). Of a bind, or in root,
   * `attributes`, then `recursive` (every mount below too) and then `propagation` (MS_* flags, one by one) are set
   * before the mount is attached: nobody ever sees it without them, and no path is looked up twice.
   */
  | {
      op: 'mount';
      source: string;
      /** what a person knows the source as; for errors, and not part of the encoded plan */
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
   * mount_setattr(2) on a mounted target that nobody else can change (a new mount has its own in its `mount` step),
   * e.g. AT_RECURSIVE + MOUNT_ATTR_RDONLY for recursive read-only (Linux 5.12). It only adds and takes away what is
   * named, so the flags a user namespace may not drop stay.
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
   * `mount`): held under the number `tree` (0…2047) until `placeTree`, whatever is mounted over the source meanwhile
   */
  | { op: 'holdTree'; source: string; beneath?: string; tree: number; recursive: boolean }
  /**
   * move_mount(2) of a held tree; a missing target is made, as a folder or a file as the tree is one. The number is
   * free again
   */
  | { op: 'placeTree'; tree: number; target: string; inRoot?: boolean }
  /** umount2(2); `inRoot` always detaches (MNT_DETACH), because it holds the folder meanwhile */
  | { op: 'umount'; target: string; flags: number; inRoot?: boolean }
  /** mkdirat(2); an existing directory is fine */
  | { op: 'mkdir'; path: string; mode: number; inRoot?: boolean }
  /** symlinkat(2); an existing link is fine */
  | { op: 'symlink'; target: string; path: string; inRoot?: boolean }
  /**
   * mknodat(2) with S_IFCHR/S_IFBLK/S_IFIFO in mode; with S_IFREG an empty file, and whatever is there already is fine
   */
  | { op: 'mknod'; path: string; mode: number; major: number; minor: number; inRoot?: boolean }
  /** fchownat(2) */
  | { op: 'chown'; path: string; uid: number; gid: number; inRoot?: boolean }
  /** fchmod(2) */
  | { op: 'chmod'; path: string; mode: number; inRoot?: boolean }
  /**
   * open(2) O_WRONLY|O_NONBLOCK [|O_CREAT|O_TRUNC], one write(2) of at most 1 MiB: sysctls (in root, /proc/sys/…),
   * oom_score_adj, files of /etc. A path that begins with /proc/ must lead to a real procfs.
   */
  | { op: 'writeFile'; path: string; content: Uint8Array | string; mode?: number; create?: boolean; inRoot?: boolean }
  /**
   * hide a path in root: the root's own /dev/null (checked to be 1:3) over a file, an empty read-only tmpfs over a
   * directory; absent is fine
   */
  | { op: 'maskPath'; path: string }
  /** bind the path in root to itself, recursively read-only; absent is fine */
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
   * the three above, and HOME in the environment unless it is given. The primary group is a supplementary one too.
   * Bounded parse: files that are not regular or over 1 MiB, and more than 1024 groups, are refused.
   */
  | { op: 'setuser'; user: string; additionalGroups: string[] }
  /**
   * capset(2), prctl(PR_CAPBSET_DROP), PR_CAP_AMBIENT; bit masks of linux/capability.h. `rootOnly`: when the uid is not
   * 0 (known only after `setuser`) effective and permitted become what `ambient` has, as Docker does for a non-root
   * user
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
   * steps run under it: without noNewPrivileges it must come before `capabilities`.
   */
  | { op: 'seccomp'; filter: Uint8Array; flags: number }
  // — stdio and exec —
  /**
   * pts(4): a terminal of the container's own devpts (/dev/pts/ptmx in root, checked to be one), master sent to the
   * parent (SCM_RIGHTS), size set (TIOCSWINSZ), setsid(2), slave becomes the controlling terminal (TIOCSCTTY) and
   * stdin, stdout, stderr; `console` binds it over /dev/console
   */
  | { op: 'openPty'; columns: number; rows: number; console: boolean }
  /**
   * fchown(2) of stdin, stdout, stderr (pipes and terminals) to the process's user, now and at each later change of it
   */
  | { op: 'chownStdio' }
  /** close_range(2) with CLOSE_RANGE_CLOEXEC from this fd on, at exec; 3 without this step */
  | { op: 'closeFrom'; fd: number }
  /** replaces the whole environment */
  | { op: 'environment'; env: string[] }
  /**
   * execve(2), with execvp(3)'s PATH rules for a name without a slash, on the plan's own PATH; no shell is tried for a
   * file of unknown format. Signal mask and dispositions are the defaults. A plan's last step.
   */
  | { op: 'exec'; args: string[] };

export type LaunchPlan = Step[];
