/*
 * husk-init: carries out a launch plan that TypeScript wrote.
 *
 *   husk-init run PLAN CONTROL STATUS    three inherited descriptors: a file with the plan, a SOCK_SEQPACKET socket to the parent
 *                                        (control.c), and a pipe for the wait status (process.c)
 *   husk-init                            as PID 1 of a virtual machine: vm.c
 *   husk-init check                      checks a plan on standard input and executes nothing; exit status 0 or 1 and a reason
 *   husk-init check-many                 checks many (u32 length, plan), for fuzzing; says how many there were and how many are good
 */
#define _GNU_SOURCE
#include "run.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
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

/*
 * Closes what the starter's own starter left open, above the descriptors that the plan passes on. execve would close
 * these, but a container's command is looked up before that: /proc/self/fd/50/../../bin/x is a way to the host for a
 * command of that name (CVE-2024-21626).
 */
static void close_strangers(struct run *run) {
  unsigned first = (unsigned)run->status + 1;
  unsigned spared = plan_spares(&run->plan);
  close_range(spared > first ? spared : first, ~0u, 0);
}

static int run_main(char **whole) {
  char **argv = whole + 2;
  static struct run run = {.root = -1, .null_device = -1, .death_signal = SIGKILL, .close_from = 3, .umask = 022};
  int plan_fd = parse_fd(argv[0]);
  struct plan_error error;
  struct stat stat;
  run.command_line = whole[0];
  run.command_line_length = (size_t)(argv[2] + strlen(argv[2]) - whole[0]);
  run.control = parse_fd(argv[1]);
  run.status = run.life = parse_fd(argv[2]); /* gives POLLERR once no process reads it */
  if (plan_fd < 0 || run.control < 0 || run.status < 0 || fstat(plan_fd, &stat) < 0) return EXIT_USAGE;
  if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0) return EXIT_USAGE;
  if (stat.st_size <= 0 || stat.st_size > PLAN_MAX) fail_with(&run, EINVAL, DETAIL_BAD_PLAN, "plan", "wrong size");
  /* The mapping is private: the parent closes its descriptor and writes no more, and a monitor unmaps the whole. */
  const unsigned char *data = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, plan_fd, 0);
  if (data == MAP_FAILED) fail(&run, "mmap", "plan");
  close(plan_fd);
  if (!plan_check(&run.plan, data, (size_t)stat.st_size, &error)) {
    run.index = error.step;
    fail_with(&run, EINVAL, DETAIL_BAD_PLAN, "plan", error.reason);
  }
  close_strangers(&run);
  run_plan(&run);
}

/*
 * Tells whether a plan is good. The plan is copied to a buffer of exactly its length, so that a sanitizer sees a read
 * beyond the end, and walked as steps.c does.
 */
static bool is_good(const unsigned char *input, size_t length, struct plan_error *error) {
  unsigned char *data = malloc(length ? length : 1);
  if (!data) exit(EXIT_USAGE);
  memcpy(data, input, length);
  struct plan plan;
  struct step step = {0};
  bool good = plan_check(&plan, data, length, error);
  for (uint32_t offset = PLAN_HEADER, i = 0; good && i < plan.steps; i++) {
    plan_next(&plan, &offset, &step);
    uint32_t at = 0;
    bool numbers = step.opcode == OP_SETGROUPS;
    for (uint32_t item = 0; item < step.blob.count; item++) numbers ? (void)list_number(&step.blob, &at) : (void)strlen(list_string(&step.blob, &at));
  }
  free(data);
  return good;
}

static unsigned char input[PLAN_MAX + 1];

static int check_main(void) {
  struct plan_error error;
  if (is_good(input, fread(input, 1, sizeof input, stdin), &error)) return 0;
  printf("step %u: %s\n", error.step, error.reason);
  return 1;
}

static int check_many_main(void) {
  struct plan_error error;
  unsigned all = 0, good = 0;
  uint32_t length;
  while (fread(&length, sizeof length, 1, stdin) == 1) {
    if (length > sizeof input || fread(input, 1, length, stdin) != length) return EXIT_USAGE;
    all++;
    good += is_good(input, length, &error);
  }
  printf("%u %u\n", all, good);
  return 0;
}

int main(int argc, char **argv) {
  /* The kernel starts init without these arguments; a container cannot start this program without any. */
  if (getpid() == 1 && argc == 1) vm_main();
  if (argc == 5 && strcmp(argv[1], "run") == 0) return run_main(argv);
  if (argc == 2 && strcmp(argv[1], "check") == 0) return check_main();
  if (argc == 2 && strcmp(argv[1], "check-many") == 0) return check_many_main();
  fputs("husk-init is a part of husk and is started by it\n", stderr);
  return EXIT_USAGE;
}
