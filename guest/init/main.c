/*
 * husk-init: carries out a launch plan that TypeScript wrote.
 *
 *   husk-init run PLAN CONTROL STATUS    three inherited descriptors: a file with the plan, a SOCK_SEQPACKET socket to the parent
 *                                        (control.c), and a pipe for the wait status (process.c)
 *   husk-init                            as PID 1 of a virtual machine: vm.c
 *   husk-init check                      checks a plan on standard input and executes nothing; exit status 0 or 1 and a reason
 */
#define _GNU_SOURCE
#include "run.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE 2

static int parse_fd(const char *text) {
  if (!*text || strlen(text) > 4 || strspn(text, "0123456789") != strlen(text)) return -1;
  return atoi(text);
}

static int run_main(char **argv) {
  static struct run run = {.root = -1, .null_device = -1, .death_signal = SIGKILL, .close_from = 3, .umask = 022};
  int plan_fd = parse_fd(argv[0]);
  struct plan_error error;
  struct stat stat;
  run.control = parse_fd(argv[1]);
  run.status = run.life = parse_fd(argv[2]); /* POLLERR once nobody reads it */
  if (plan_fd < 0 || run.control < 0 || run.status < 0 || fstat(plan_fd, &stat) < 0) return EXIT_USAGE;
  if (fcntl(run.control, F_SETFD, FD_CLOEXEC) < 0 || fcntl(run.status, F_SETFD, FD_CLOEXEC) < 0) return EXIT_USAGE;
  if (stat.st_size <= 0 || stat.st_size > PLAN_MAX) fail_with(&run, EINVAL, DETAIL_BAD_PLAN, "plan", "wrong size");
  /* private: the parent closes its descriptor and writes no more, and a monitor unmaps it whole */
  const unsigned char *data = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, plan_fd, 0);
  if (data == MAP_FAILED) fail(&run, "mmap", "plan");
  close(plan_fd);
  if (!plan_check(&run.plan, data, (size_t)stat.st_size, &error)) {
    run.index = error.step;
    fail_with(&run, EINVAL, DETAIL_BAD_PLAN, "plan", error.reason);
  }
  run_plan(&run);
}

/* The buffer has exactly the plan's length, so that a sanitizer sees a read beyond it. */
static int check_main(void) {
  static unsigned char input[PLAN_MAX + 1];
  size_t length = fread(input, 1, sizeof input, stdin);
  unsigned char *data = malloc(length ? length : 1);
  if (!data) return EXIT_USAGE;
  memcpy(data, input, length);
  struct plan plan;
  struct plan_error error;
  bool good = plan_check(&plan, data, length, &error);
  if (!good) printf("step %u: %s\n", error.step, error.reason);
  free(data);
  return good ? 0 : 1;
}

int main(int argc, char **argv) {
  /* the kernel starts init with no arguments of ours; a container cannot start it without some */
  if (getpid() == 1 && argc == 1) vm_main();
  if (argc == 5 && strcmp(argv[1], "run") == 0) return run_main(argv + 2);
  if (argc == 2 && strcmp(argv[1], "check") == 0) return check_main();
  fputs("husk-init is a part of husk and is started by it\n", stderr);
  return EXIT_USAGE;
}
