/*
 * Carries a checked plan out, step by step: the table from opcode to function, and the steps that are one system call.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void enter(struct run *run, int fd, int types, const char *path) {
  if (setns(fd, types) < 0) fail(run, "setns", path);
  close(fd);
  arm_parent_death(run);
}

/*
 * Whoever has CAP_SYS_PTRACE in a user namespace reads the files of every process in it by /proc/PID/root, and this one
 * still has the host's root: it hides before it comes in. A change of user namespace makes the kernel set the attribute
 * anew (fs.suid_dumpable), so it is set again afterwards. From the next fork on, processes of a joined pid namespace
 * see this one too.
 */
static void join(struct run *run, int fd, int types, const char *path) {
  run->hidden = run->hidden || types == 0 || types & (CLONE_NEWUSER | CLONE_NEWPID);
  if (run->hidden) hide_process();
  enter(run, fd, types, path);
}

static void do_setns(struct run *run) {
  const char *path = run->step.string[0];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(run, "open", path);
  if (run->step.flags & STEP_VISIBLE) enter(run, fd, (int)run->step.number[0], path);
  else join(run, fd, (int)run->step.number[0], path);
}

static void do_setns_pid(struct run *run) {
  int fd = (int)syscall(SYS_pidfd_open, (pid_t)run->step.number[0], 0);
  if (fd < 0) fail(run, "pidfd_open", NULL);
  join(run, fd, (int)run->step.number[1], NULL);
}

static void do_unshare(struct run *run) {
  if (unshare((int)run->step.number[0]) < 0) fail(run, "unshare", NULL);
  arm_parent_death(run);
}

static void do_await(struct run *run) { await_parent(run, (uint32_t)run->step.number[0]); }

static void do_parent_death_signal(struct run *run) {
  run->death_signal = (int)run->step.number[0];
  arm_parent_death(run);
}

static void do_setsid(struct run *run) {
  if (setsid() < 0) fail(run, "setsid", NULL);
}

static void do_loopback_up(struct run *run) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(run, "socket", "lo");
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) fail(run, "ioctl SIOCSIFFLAGS", "lo");
  close(fd);
}

static void do_new_session_keyring(struct run *run) {
  long key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
  /*
   * no keyrings in this kernel, a seccomp filter around us, or the user's quota: then there is no more to hide than
   * before
   */
  if (key < 0 && errno != ENOSYS && errno != EPERM && errno != EDQUOT) fail(run, "keyctl", NULL);
}

static void do_umask(struct run *run) { run->umask = (mode_t)run->step.number[0] & 0777; }

static void do_sethostname(struct run *run) {
  if (sethostname(run->step.string[0], strlen(run->step.string[0])) < 0) fail(run, "sethostname", run->step.string[0]);
}

static void do_setdomainname(struct run *run) {
  if (setdomainname(run->step.string[0], strlen(run->step.string[0])) < 0) fail(run, "setdomainname", run->step.string[0]);
}

static void do_rlimit(struct run *run) {
  const uint64_t *number = run->step.number;
  struct rlimit limit = {.rlim_cur = number[1], .rlim_max = number[2]};
  if (setrlimit((__rlimit_resource_t)number[0], &limit) < 0) fail(run, "setrlimit", NULL);
}

static void do_no_new_privileges(struct run *run) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail(run, "prctl(PR_SET_NO_NEW_PRIVS)", NULL);
}

static void do_close_from(struct run *run) {
  run->close_from = (unsigned)run->step.number[0];
  /* those below are meant to pass; ours never */
  for (int fd = 3; fd < (int)run->close_from; fd++)
    if (fd != run->control && fd != run->status && fd != run->life && fd != run->root) fcntl(fd, F_SETFD, 0);
}

/* The parent learns that all of the plan is done as it learns of an exec: by end-of-file after this record. */
_Noreturn static void do_exit(struct run *run) {
  tell_exec(run);
  _exit(0);
}

typedef void step_function(struct run *run);

static step_function *const FUNCTIONS[OP_END] = {
  [OP_SETNS] = do_setns,
  [OP_SETNS_PID] = do_setns_pid,
  [OP_UNSHARE] = do_unshare,
  [OP_AWAIT] = do_await,
  [OP_FORK] = fork_with_monitor,
  [OP_REAPER] = fork_with_reaper,
  [OP_PARENT_DEATH_SIGNAL] = do_parent_death_signal,
  [OP_SETSID] = do_setsid,
  [OP_NEW_SESSION_KEYRING] = do_new_session_keyring,
  [OP_LOOPBACK_UP] = do_loopback_up,
  [OP_SET_ROOT] = do_set_root,
  [OP_MOUNT] = do_mount,
  [OP_MOUNT_ATTRIBUTES] = do_mount_attributes,
  [OP_UMOUNT] = do_umount,
  [OP_MKDIR] = do_mkdir,
  [OP_SYMLINK] = do_symlink,
  [OP_MKNOD] = do_mknod,
  [OP_CHOWN] = do_chown,
  [OP_CHMOD] = do_chmod,
  [OP_WRITE_FILE] = do_write_file,
  [OP_MASK_PATH] = do_mask_path,
  [OP_READONLY_PATH] = do_readonly_path,
  [OP_PIVOT_ROOT] = do_pivot_root,
  [OP_CHDIR] = do_chdir,
  [OP_UMASK] = do_umask,
  [OP_SETHOSTNAME] = do_sethostname,
  [OP_SETDOMAINNAME] = do_setdomainname,
  [OP_RLIMIT] = do_rlimit,
  [OP_SETGROUPS] = do_setgroups,
  [OP_SETGID] = do_setgid,
  [OP_SETUID] = do_setuid,
  [OP_SETUSER] = do_setuser,
  [OP_CAPABILITIES] = do_capabilities,
  [OP_NO_NEW_PRIVILEGES] = do_no_new_privileges,
  [OP_SECCOMP] = do_seccomp,
  [OP_OPEN_PTY] = do_open_pty,
  [OP_CHOWN_STDIO] = do_chown_stdio,
  [OP_CLOSE_FROM] = do_close_from,
  [OP_ENVIRONMENT] = do_environment,
  [OP_EXEC] = do_exec,
  [OP_HOLD_TREE] = do_hold_tree,
  [OP_PLACE_TREE] = do_place_tree,
  [OP_SOCKETS] = do_sockets,
  [OP_TAP] = do_tap,
  [OP_MAP_USERS] = do_map_users,
  [OP_EXIT] = do_exit,
};

_Noreturn void run_plan(struct run *run) {
  umask(0); /* modes in a plan are meant as they are */
  arm_parent_death(run);
  tell_hello(run);
  uint32_t offset = PLAN_HEADER;
  for (run->index = 0;; run->index++) { /* plan.c: the last step is exec or exit, which do not return */
    plan_next(&run->plan, &offset, &run->step);
    FUNCTIONS[run->step.opcode](run);
  }
}
