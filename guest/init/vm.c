/*
 * The VM's PID 1: it mounts what Linux programs expect, starts the agent, reaps orphans, and switches the machine off
 * when the agent ends. Its messages go to the kernel's console, whose last lines the VMM keeps.
 *
 * It parses nothing, and does nothing that the agent can do later in TypeScript.
 */
#define _GNU_SOURCE
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mount_point {
  const char *type, *target, *options;
  unsigned long flags;
} MOUNT_POINTS[] = {
  {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
  {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
  {"devtmpfs", "/dev", NULL, MS_NOSUID},
  {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
  {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV},
  {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV},
};

/*
 * Marks a stage of the boot for a measurement from outside, with any hypervisor: CPUID always leaves the guest, and
 * Linux has a tracepoint there (kvm:kvm_cpuid). An unknown leaf changes nothing; it costs an exit that the kernel
 * answers.
 */
enum { MARK_LEAF = 0x4855534b, MARK_INIT = 0, MARK_AGENT = 1 };
static void mark(unsigned stage) {
  unsigned leaf = MARK_LEAF, ebx, ecx = stage, edx;
  __asm__ volatile("cpuid" : "+a"(leaf), "=b"(ebx), "+c"(ecx), "=d"(edx));
}

/* Resets by the keyboard controller's line (reboot=k on the command line): the VMM sees the machine end. */
static _Noreturn void switch_off(void) {
  sync();
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

static _Noreturn void give_up(const char *what, const char *path) {
  fprintf(stderr, "husk-init: cannot %s %s: %s\n", what, path, strerror(errno));
  switch_off();
}

static pid_t start_agent(void) {
  pid_t pid = fork();
  if (pid < 0) give_up("fork for", AGENT_PROGRAM);
  if (pid > 0) return pid;
  /* The guest's OOM killer must take a container's process, never the agent (proc_pid_oom_score_adj(5)). */
  int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file >= 0) {
    if (write(file, "-1000", 5) != 5) fprintf(stderr, "husk-init: cannot protect the agent from the OOM killer\n");
    close(file);
  }
  char *const arguments[] = {"husk-agent", "--disable-warning=ExperimentalWarning", AGENT_BUNDLE, NULL};
  char *const environment[] = {"PATH=/bin", "HOME=/run", "LANG=C.UTF-8", NULL};
  mark(MARK_AGENT);
  execve(AGENT_PROGRAM, arguments, environment);
  fprintf(stderr, "husk-init: cannot execute %s: %s\n", AGENT_PROGRAM, strerror(errno));
  _exit(127);
}

void vm_main(void) {
  mark(MARK_INIT);
  for (size_t i = 0; i < sizeof MOUNT_POINTS / sizeof *MOUNT_POINTS; i++) {
    const struct mount_point *point = &MOUNT_POINTS[i];
    if (mount(point->type, point->target, point->type, point->flags, point->options) < 0) give_up("mount", point->target);
  }
  /* The console exists only from here on. */
  int console = open("/dev/console", O_RDWR);
  for (int fd = 0; console >= 0 && fd < 3; fd++) dup2(console, fd);
  if (console > 2) close(console);
  umask(022);
  pid_t agent = start_agent();
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno != EINTR) break;
    if (pid != agent) continue;
    if (WIFSIGNALED(status)) fprintf(stderr, "husk-init: the agent was killed by signal %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status)) fprintf(stderr, "husk-init: the agent exited with status %d\n", WEXITSTATUS(status));
    break;
  }
  switch_off();
}
