/*
 * Makes a user namespace inside the one that this process is in. Only a process of the parent namespace with its
 * capabilities may map more than its own id (user_namespaces(7)): a fork stays there for this one task, in place of the
 * set-user-ID programs that a user's first namespace needs.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The writer's answer at its end: 0, or the error and the map at which it happened. */
struct answer {
  int error;
  char map[8];
};

static int write_map(pid_t process, const char *map, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)process, map);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  /* A map takes exactly one write. */
  int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
  close(fd);
  return error;
}

_Noreturn static void write_maps(const struct run *run, int parent, pid_t process) {
  struct answer answer = {0, "gid_map"};
  char go;
  if (read(parent, &go, 1) != 1) _exit(1); /* there is no namespace to map, or no process that waits */
  answer.error = write_map(process, answer.map, run->step.string[1]);
  if (!answer.error) {
    memcpy(answer.map, "uid_map", sizeof answer.map);
    answer.error = write_map(process, answer.map, run->step.string[0]);
  }
  _exit(write(parent, &answer, sizeof answer) == sizeof answer ? 0 : 1);
}

void do_map_users(struct run *run) {
  int pair[2], status;
  struct answer answer = {EIO, ""};
  /* /proc shows the pids of the namespace in which this process was started. */
  pid_t self = getpid();
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) fail(run, "socketpair", NULL);
  pid_t writer = fork();
  if (writer < 0) fail(run, "fork", NULL);
  if (writer == 0) {
    close(pair[0]);
    write_maps(run, pair[1], self);
  }
  close(pair[1]);
  if (unshare(CLONE_NEWUSER) < 0) fail(run, "unshare", NULL);
  /*
   * A process that has changed its user, or hides, does not own its files in /proc, and the writer could not open them.
   * No other process is in the new namespace yet, and processes in other namespaces need CAP_SYS_PTRACE in it to
   * inspect this process.
   */
  int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  if (dumpable != 1) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  ssize_t said = send(pair[0], "G", 1, MSG_NOSIGNAL);
  if (said == 1) said = read(pair[0], &answer, sizeof answer);
  if (dumpable != 1) hide_process();
  while (waitpid(writer, &status, 0) < 0 && errno == EINTR) continue;
  close(pair[0]);
  if (said == sizeof answer && answer.error == 0) {
    arm_parent_death(run);
    return;
  }
  errno = said == sizeof answer ? answer.error : EIO;
  fail(run, "write", said == sizeof answer ? answer.map : "uid_map");
}
