/*
 * Forks, and the processes that stay behind: a monitor outside the container, or a reaper as its PID 1.
 *
 * A monitor ends its child when the process that started the monitor is gone (poll on `life`), and the kernel ends the
 * child when its monitor is gone (PR_SET_PDEATHSIG). A set-user-ID exec clears the latter, which is why executor.ts
 * kills by pidfd too.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The descriptors that a monitor keeps are moved to this number and above, and everything below is closed. */
#define MONITOR_FDS 64

void hide_process(void) {
  /*
   * /proc/PID/exe of this program would be a way for a hostile container to write to the host's file (CVE-2019-5736).
   * When the process is not dumpable, its memory belongs to the user namespace in which it was started, and only
   * CAP_SYS_PTRACE there opens it. execve undoes this.
   */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static bool parent_is_gone(int life) {
  struct pollfd poll_life = {.fd = life, .events = 0};
  return poll(&poll_life, 1, 0) == 1;
}

void arm_parent_death(struct run *run) {
  /* The changes of identity that are named below also set the process to fs.suid_dumpable. */
  if (run->hidden) hide_process();
  /* The kernel clears the signal at every change of uid, gid or capabilities (prctl(2)), so this runs after each. */
  if (prctl(PR_SET_PDEATHSIG, run->death_signal, 0, 0, 0) < 0) fail(run, "prctl(PR_SET_PDEATHSIG)", NULL);
  /*
   * In a new pid namespace getppid() is 0 whether the parent lives or not; a descriptor that only the parent holds
   * tells.
   */
  if (run->death_signal && parent_is_gone(run->life)) _exit(128 + SIGKILL);
}

static int code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* Keeps CAP_KILL alone: the command may have another uid by the time it must be killed, and nothing else is needed. */
static void keep_only_kill(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}, {0}}, had[2];
  if (syscall(SYS_capget, &header, had) < 0) return;
  data[0].permitted = data[0].effective = had[0].permitted & 1u << CAP_KILL;
  (void)syscall(SYS_capset, &header, data);
}

static int move_up(int fd) { return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, MONITOR_FDS); }

/* Tells whether the child will become a monitor itself. */
static bool forks_again(const struct run *run) {
  struct step step;
  uint32_t offset = PLAN_HEADER;
  bool again = false;
  for (uint32_t i = 0; i < run->plan.steps; i++) {
    plan_next(&run->plan, &offset, &step);
    if (i > run->index && step.opcode == OP_FORK) again = true;
  }
  return again;
}

/* `held`: the write end of the child's `life`, which the monitor keeps open */
_Noreturn static void monitor(struct run *run, pid_t child, int held) {
  sigset_t all;
  bool child_monitors = forks_again(run);
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  hide_process();
  /* The monitor must notice its parent's death (by poll) and act on it, not die of it. */
  prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  prctl(PR_SET_NAME, "husk-monitor", 0, 0, 0);
  keep_only_kill();
  /*
   * pivot_root(2) in the child moves processes whose folder is the old root along; a process in another folder would
   * keep the host's mounts busy for ever.
   */
  if (chdir("/") < 0) _exit(128 + SIGKILL);
  int child_fd = move_up((int)syscall(SYS_pidfd_open, child, 0));
  int status_fd = move_up(run->status), life = move_up(run->life); /* life comes last, so it is the highest */
  close_range(0, MONITOR_FDS - 1, 0);
  close_range((unsigned)life + 1, ~0u, 0);
  munmap((void *)(uintptr_t)run->plan.data, run->plan.length);
  struct pollfd wait_for[2] = {{.fd = child_fd, .events = POLLIN}, {.fd = run->death_signal ? life : -1, .events = 0}};
  while (child_fd >= 0) {
    if (poll(wait_for, 2, -1) < 0 && errno != EINTR) break;
    if (wait_for[0].revents) break;
    if (wait_for[1].revents) {
      /*
       * A child that is a monitor must live to end its own child. Any other has not been reaped, so its pid is still
       * its own.
       */
      if (child_monitors) close(held);
      else kill(child, SIGKILL);
      wait_for[1].fd = -1;
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  ssize_t written = write(status_fd, &status, sizeof status);
  (void)written;
  _exit(code_of(status));
}

/* The child's part of every fork. `life`: a pipe whose write end only the parent has */
static void begin_child(struct run *run, const int life[2]) {
  close(life[1]);
  run->life = life[0];
  run->forks++;
}

static pid_t fork_child(struct run *run, int life[2]) {
  if (pipe2(life, O_CLOEXEC) < 0) fail(run, "pipe2", NULL);
  pid_t child = fork();
  if (child < 0) fail(run, "fork", NULL);
  return child;
}

void fork_with_monitor(struct run *run) {
  int life[2];
  pid_t child = fork_child(run, life);
  if (child > 0) {
    monitor(run, child, move_up(life[1]));
  }
  begin_child(run, life);
  arm_parent_death(run);
  tell_hello(run);
}

/* Signals that mean a fault of the reaper itself, and those that belong to a terminal's job control. */
static const int NOT_FORWARDED[] = {SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};

static bool is_forwarded(int signal) {
  for (size_t i = 0; i < sizeof NOT_FORWARDED / sizeof *NOT_FORWARDED; i++)
    if (NOT_FORWARDED[i] == signal) return false;
  return true;
}

_Noreturn static void reap(struct run *run, pid_t child, int held) {
  sigset_t all;
  sigfillset(&all);
  hide_process();
  prctl(PR_SET_NAME, "husk-init", 0, 0, 0);
  /* `ps` in the container shows this name, not where husk lies on the host. */
  static const char NAME[] = "husk-init";
  if (run->command_line_length >= sizeof NAME) {
    memset(run->command_line, 0, run->command_line_length);
    memcpy(run->command_line, NAME, sizeof NAME);
  }
  /* With --pid host or container:X the reaper is not PID 1, but orphans must go to it all the same. */
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  /* The reaper closes stdio too, so that end-of-file on a container's output depends on the command alone. */
  close_range(0, MONITOR_FDS - 1, 0);
  close_range((unsigned)held + 1, ~0u, 0);
  munmap((void *)(uintptr_t)run->plan.data, run->plan.length);
  if (chdir("/") < 0) { /* an inaccessible root only means that the working folder stays busy */
  }
  for (;;) {
    int ended, status;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
      if (ended == child) _exit(code_of(status));
    int signal = sigwaitinfo(&all, NULL);
    if (signal > 0 && is_forwarded(signal)) kill(child, signal);
  }
}

void fork_with_reaper(struct run *run) {
  int life[2];
  sigset_t all, before;
  sigfillset(&all);
  /* The signals are blocked before the fork, so that one that arrives now is forwarded, not lost. */
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t child = fork_child(run, life);
  if (child > 0) {
    int held = move_up(life[1]);
    reap(run, child, held);
  }
  begin_child(run, life);
  /*
   * The child has a group of its own in the terminal's foreground, so that a key's signal comes once, from the
   * terminal, and not again from the reaper.
   */
  if (setpgid(0, 0) == 0 && isatty(STDIN_FILENO)) tcsetpgrp(STDIN_FILENO, getpid());
  sigprocmask(SIG_SETMASK, &before, NULL);
  arm_parent_death(run);
  tell_hello(run);
}
