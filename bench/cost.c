/*
 * cost FILE COMMAND [ARG...]: runs COMMAND and appends one line to FILE: its exit code, the ms until it ended, the ms
 * until the last process it left behind ended, and the ms of CPU time of all of them, user and system.
 *
 * Why a program: the supervisor of a container is no child of the command, so nobody who waits for the command learns
 * what its supervisor took. This process is the subreaper of all of them (prctl(2)), and counts each one that it waits
 * for.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double milliseconds(struct timeval time) { return time.tv_sec * 1e3 + time.tv_usec / 1e3; }

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return 3;
  double start = now();
  pid_t command = fork();
  if (command < 0) return 3;
  if (command == 0) {
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  double ended = 0;
  int code = 0, status;
  for (pid_t pid; (pid = wait(&status)) > 0;)
    if (pid == command) {
      ended = now();
      code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  FILE *file = fopen(argv[1], "a");
  if (!file) return 3;
  fprintf(file, "%d %.3f %.3f %.3f\n", code, ended - start, now() - start, milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime));
  return fclose(file) == 0 ? 0 : 3;
}
