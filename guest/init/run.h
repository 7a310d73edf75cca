/*
 * The state of a plan that is being carried out, and what the steps' files offer to steps.c. Every function either does
 * what its name says or ends the process with a report to the parent (fail): a plan is never half-believed.
 */
#ifndef HUSK_RUN_H
#define HUSK_RUN_H

#include "plan.h"

#include <sys/types.h>

struct run {
  struct plan plan;
  uint32_t index; /* of the step being done */
  struct step step;
  int control;      /* SOCK_SEQPACKET to the parent: only the innermost process has it, until exec closes it */
  int status;       /* pipe to the parent: a monitor writes its child's wait status */
  int life;         /* reports POLLHUP or POLLERR once the process that started this one is gone */
  int root;         /* O_PATH folder of in-root paths; -1 before setRoot */
  int null_device;  /* O_PATH of the root's /dev/null; -1 until needed */
  int trees[PLAN_MAX_TREES]; /* detached mounts, one more than the descriptor: 0 is none (trees.c) */
  int death_signal; /* PR_SET_PDEATHSIG */
  uint32_t forks;
  unsigned close_from;
  mode_t umask;
  bool chown_stdio;
  bool hidden;     /* from processes of a user or pid namespace that was joined, until execve */
  char **env;      /* NULL-terminated, points into the plan */
  size_t env_count;
  char *command_line; /* argv, which ps shows */
  size_t command_line_length;
  char home[4096]; /* from the container's passwd, when setuser ran */
};

/* Why a step failed, where errno alone does not say it. Known to src/launch/executor.ts. */
enum detail {
  DETAIL_NONE = 0,
  DETAIL_NO_SUCH_USER = 1,
  DETAIL_NO_SUCH_GROUP = 2,
  DETAIL_ID_OUT_OF_RANGE = 3,
  DETAIL_NOT_IN_PATH = 4,
  DETAIL_NO_INTERPRETER = 5,
  DETAIL_BAD_PLAN = 6,
  DETAIL_NOT_EXPECTED_FILE = 7,
};

/* — control.c: what is said to the parent — */
_Noreturn void fail(struct run *run, const char *call, const char *path); /* with errno */
_Noreturn void fail_with(struct run *run, int error, enum detail detail, const char *call, const char *path);
void tell_hello(struct run *run);
void tell_exec(struct run *run);
void tell_pty(struct run *run, int master);
void tell_sockets(struct run *run, uint32_t kinds, const int *fds, unsigned count);
void await_parent(struct run *run, uint32_t tag);

/* — process.c — */
void fork_with_monitor(struct run *run);
void fork_with_reaper(struct run *run);
void arm_parent_death(struct run *run); /* after each change of identity, which undoes it */
void hide_process(void); /* no /proc/PID/exe, no ptrace, from inside a container */

/* — resolve.c: paths — */
/* openat2(2) with RESOLVE_ flags, repeated while other processes' renames and mounts get in its way; close-on-exec */
int open_beneath(int base, const char *path, int flags, mode_t mode, uint64_t how_to_resolve);
#define CREATE_NOTHING 0
#define CREATE_DIRECTORY 1
#define CREATE_FILE 2
/*
 * an O_PATH fd, or -1 and errno; flags are STEP_IN_ROOT and STEP_NO_SYMLINKS; `created` (may be NULL) tells whether the
 * last component is new
 */
int resolve(struct run *run, const char *path, unsigned flags, int create, bool *created);
/* opens the file itself with open(2) flags and a mode for O_CREAT */
int resolve_open(struct run *run, const char *path, unsigned flags, int open_flags, mode_t mode);
/* the folder of the last component, which is copied to `name`; folders on the way are made */
int resolve_parent(struct run *run, const char *path, unsigned flags, char name[256]);

/* — mounts.c — */
void do_set_root(struct run *run);
void do_mount(struct run *run);
void do_mount_attributes(struct run *run);
void do_umount(struct run *run);
void do_mask_path(struct run *run);
void do_readonly_path(struct run *run);
void do_pivot_root(struct run *run);
/* binds what an fd refers to over `target` (an O_PATH fd) */
int bind_fd(int source, int target, bool recursive, uint64_t attributes);

/* a detached clone of what is at a path of the host, or beneath it */
int open_source(struct run *run, const char *source, const char *beneath, unsigned int flags);

/* — trees.c — */
void do_hold_tree(struct run *run);
void do_place_tree(struct run *run);

/* — files.c — */
void do_mkdir(struct run *run);
void do_symlink(struct run *run);
void do_mknod(struct run *run);
void do_chown(struct run *run);
void do_chmod(struct run *run);
void do_write_file(struct run *run);
void do_chdir(struct run *run);

/* — identity.c — */
void do_setgroups(struct run *run);
void do_setgid(struct run *run);
void do_setuid(struct run *run);
void do_capabilities(struct run *run);
void do_seccomp(struct run *run);
void do_chown_stdio(struct run *run);
void become(struct run *run, uid_t uid);

/* — sockets.c — */
void do_sockets(struct run *run);
void do_tap(struct run *run);

/* — users.c — */
void do_map_users(struct run *run);

/* — user.c — */
void do_setuser(struct run *run);

/* — pty.c — */
void do_open_pty(struct run *run);

/* — exec.c — */
void do_environment(struct run *run);
_Noreturn void do_exec(struct run *run);

/* — steps.c — */
_Noreturn void run_plan(struct run *run);

#endif
