/* The end of a plan: execve(2) with the shell's PATH rules, and none of husk's descriptors left open. */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Docker's PATH, for a plan without one */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Returns an array of a list's strings; plan.c bounds its length. */
static char **array_of(struct run *run, const struct bytes *list, size_t extra) {
  char **array = calloc(list->count + extra + 1, sizeof *array);
  if (!array) fail(run, "malloc", NULL);
  uint32_t offset = 0;
  for (uint32_t i = 0; i < list->count; i++) array[i] = (char *)(uintptr_t)list_string(list, &offset);
  return array;
}

void do_environment(struct run *run) {
  free(run->env);
  run->env = array_of(run, &run->step.blob, 1); /* one more place for HOME */
  run->env_count = run->step.blob.count;
}

static const char *variable(const struct run *run, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 0; i < run->env_count; i++)
    if (strncmp(run->env[i], name, length) == 0 && run->env[i][length] == '=') return run->env[i] + length + 1;
  return NULL;
}

static void add_home(struct run *run) {
  static char home[sizeof "HOME=" + sizeof run->home];
  if (!run->home[0] || variable(run, "HOME")) return;
  snprintf(home, sizeof home, "HOME=%s", run->home);
  if (!run->env && !(run->env = calloc(2, sizeof *run->env))) fail(run, "malloc", NULL);
  run->env[run->env_count++] = home;
}

/* Reports a failed execve in the user's terms; errno is execve's. */
_Noreturn static void explain(struct run *run, const char *path) {
  int error = errno;
  struct stat stat_buffer;
  bool exists = stat(path, &stat_buffer) == 0;
  if (error == EACCES && exists && S_ISDIR(stat_buffer.st_mode)) error = EISDIR;
  fail_with(run, error, error == ENOENT && exists ? DETAIL_NO_INTERPRETER : DETAIL_NONE, "execve", path);
}

static void try_exec(struct run *run, const char *path, char **arguments) {
  char *none[] = {NULL};
  execve(path, arguments, run->env ? run->env : none);
}

_Noreturn static void search_path(struct run *run, char **arguments) {
  static char candidate[8192];
  const char *at = variable(run, "PATH");
  bool denied = false;
  if (!at) at = DEFAULT_PATH;
  for (;; at++) {
    size_t length = strcspn(at, ":");
    /* An empty item means the working folder, as in sh. */
    int wrote = length ? snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, at, arguments[0]) : snprintf(candidate, sizeof candidate, "./%s", arguments[0]);
    at += length;
    if (length < 4096 && wrote > 0 && wrote < (int)sizeof candidate) {
      struct stat stat_buffer;
      try_exec(run, candidate, arguments);
      /*
       * execvp(3): the search goes on when a file is missing or may not be executed, and stops at one that cannot be
       * run.
       */
      if (errno == EACCES) denied = denied || (stat(candidate, &stat_buffer) == 0 && !S_ISDIR(stat_buffer.st_mode));
      else if (errno == ENOENT && stat(candidate, &stat_buffer) == 0) explain(run, (errno = ENOENT, candidate));
      else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENAMETOOLONG) explain(run, candidate);
    }
    if (!*at) break;
  }
  if (denied) fail_with(run, EACCES, DETAIL_NONE, "execve", arguments[0]);
  fail_with(run, ENOENT, DETAIL_NOT_IN_PATH, "execve", arguments[0]);
}

static void reset_signals(void) {
  /*
   * This is the kernel's struct: libc's sigaction refuses 32 and 33, its own signals, which a parent may have ignored.
   */
  struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } normal = {.handler = NULL /* SIG_DFL */};
  sigset_t none;
  for (int signal = 1; signal < NSIG; signal++) syscall(SYS_rt_sigaction, signal, &normal, NULL, sizeof normal.mask); /* SIGKILL, SIGSTOP say EINVAL */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void do_exec(struct run *run) {
  char **arguments = array_of(run, &run->step.blob, 0);
  add_home(run);
  umask(run->umask);
  reset_signals();
  /*
   * Nothing but stdio (and what closeFrom spares) passes execve. Inherited descriptors are marked since main.c, and
   * those opened here always are. This call is a second protection, which a seccomp profile older than close_range(2)
   * may refuse.
   */
  if (close_range(run->close_from, ~0u, CLOSE_RANGE_CLOEXEC) < 0 && errno != EPERM && errno != ENOSYS) fail(run, "close_range", NULL);
  tell_exec(run);
  if (!arguments[0][0]) fail_with(run, ENOENT, DETAIL_NOT_IN_PATH, "execve", arguments[0]);
  if (!strchr(arguments[0], '/')) search_path(run, arguments);
  try_exec(run, arguments[0], arguments);
  explain(run, arguments[0]);
}
