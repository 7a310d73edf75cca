/*
 * Keeps a network: holds its namespaces, and pasta running for it, for as long as a container is on its bridge. The
 * keeper is an ordinary process of the user, in the host's namespaces and without a capability. It reads only the
 * kernel's link events, and a process that needs the network opens it by /proc/PID/fd of the numbers below.
 *
 * The keeper ends some time after the last port, or with its pin; the pin ends when the keeper is gone (its socket),
 * and so does pasta (PR_SET_PDEATHSIG). The network itself lives on in whatever else holds it.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUTE = 3, NETWORK, USERS, PIN, HELD }; /* where src/network/ finds them; HELD is one past the last */
#define MOVED 64          /* descriptors are first moved above this number, then to their places */
#define FIRST_PORT 60000L /* ms until which the first container must come */
#define RETRY_FIRST 100L  /* ms before pasta's next start: the first is at once, each wait is doubled */
#define RETRY_MOST 5000L
#define STEADY 10000L     /* ms after which a pasta counts as good */
#define COUNT_AGAIN 100L  /* ms until the next count, when the kernel gave no answer */

struct pasta {
  char **argv; /* NULL: this network has no way out */
  pid_t pid;   /* 0: not running */
  int pidfd, said; /* said: pasta's stdout, to which it writes its pid once everything is set up */
  long started, next, wait;
};

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void say(const char *word) {
  ssize_t written = write(STDOUT_FILENO, word, strlen(word)); /* the process that started this one may be gone */
  (void)written;
}

static _Noreturn void run_pasta(char **argv, pid_t keeper, int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != keeper) _exit(128 + SIGKILL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  if (dup2(out, STDOUT_FILENO) == STDOUT_FILENO) execvp(argv[0], argv);
  _exit(127);
}

static void start_pasta(struct pasta *pasta, long at) {
  int said[2];
  pid_t keeper = getpid();
  pasta->started = at;
  pasta->next = at + pasta->wait; /* for the case that pasta fails before it has begun */
  if (pipe2(said, O_CLOEXEC) < 0) return;
  pasta->pid = fork();
  if (pasta->pid == 0) run_pasta(pasta->argv, keeper, said[1]);
  close(said[1]);
  pasta->said = said[0];
  if (pasta->pid > 0) pasta->pidfd = (int)syscall(SYS_pidfd_open, pasta->pid, 0);
  if (pasta->pid > 0 && pasta->pidfd >= 0) return;
  if (pasta->pid > 0) {
    kill(pasta->pid, SIGKILL);
    waitpid(pasta->pid, NULL, 0);
  }
  close(said[0]);
  pasta->pid = 0;
  pasta->said = pasta->pidfd = -1;
}

/* Reads pasta's stdout: it has written its pid, or closed the pipe. */
static void hear_pasta(struct pasta *pasta) {
  char text[32];
  if (read(pasta->said, text, sizeof text) > 0) say("out\n");
  close(pasta->said);
  pasta->said = -1;
}

static void bury_pasta(struct pasta *pasta, long at) {
  while (waitpid(pasta->pid, NULL, 0) < 0 && errno == EINTR) continue;
  /* The restart is at once after a good pasta and the first time; after that the wait grows. */
  if (at - pasta->started >= STEADY) pasta->wait = 0;
  pasta->next = at + pasta->wait;
  pasta->wait = pasta->wait == 0 ? RETRY_FIRST : pasta->wait >= RETRY_MOST / 2 ? RETRY_MOST : 2 * pasta->wait;
  if (pasta->said >= 0) close(pasta->said);
  close(pasta->pidfd);
  pasta->pid = 0;
  pasta->said = pasta->pidfd = -1;
}

static long soonest(long one, long other) { return one < 0 || (other >= 0 && other < one) ? other : one; }

static int end(struct pasta *pasta, int code) {
  if (pasta->pid > 0) {
    kill(pasta->pid, SIGKILL);
    waitpid(pasta->pid, NULL, 0);
  }
  return code;
}

static int keep(long linger, struct pasta *pasta) {
  int ports = -1;
  long began = now(), empty = began;
  bool had = false, changed = true, told = false;
  for (;;) {
    long at = now();
    if (changed) ports = links_ports(ROUTE);
    if (ports > 0) had = true;
    if (ports != 0) empty = at; /* an unknown number is not none */
    if (!told && ports >= 0) say("ready\n");
    told = told || ports >= 0;
    long deadline = ports != 0 ? -1 : had ? empty + linger : began + FIRST_PORT;
    if (deadline >= 0 && deadline <= at) return end(pasta, 0);
    if (pasta->argv && !pasta->pid && pasta->next <= at) start_pasta(pasta, at);
    if (pasta->argv && !pasta->pid) deadline = soonest(deadline, pasta->next > at ? pasta->next : at + RETRY_FIRST);
    if (ports < 0) deadline = soonest(deadline, at + COUNT_AGAIN);
    const int descriptors[] = {ROUTE, PIN, pasta->pidfd, pasta->said};
    struct pollfd wait_for[4];
    for (unsigned i = 0; i < 4; i++) wait_for[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    if (poll(wait_for, 4, deadline < 0 ? -1 : (int)(deadline - at)) < 0 && errno != EINTR) return end(pasta, 1);
    changed = ports < 0 || wait_for[0].revents != 0;
    char byte;
    ssize_t got = wait_for[1].revents ? read(PIN, &byte, 1) : 1;
    if (got == 0 || (got < 0 && errno != EINTR)) return end(pasta, 0);
    if (wait_for[3].revents) hear_pasta(pasta);
    if (wait_for[2].revents) bury_pasta(pasta, now());
  }
}

/* Parses a number of at most eight digits, about a day of milliseconds; -1 for any other text. */
static long parse(const char *text) {
  if (!*text || strlen(text) > 8 || strspn(text, "0123456789") != strlen(text)) return -1;
  return strtol(text, NULL, 10);
}

int keep_main(int argc, char **argv) {
  long linger = parse(argv[0]);
  int moved[HELD - ROUTE];
  for (int i = 0; i < HELD - ROUTE; i++) {
    long fd = parse(argv[1 + i]);
    moved[i] = fd < 0 ? -1 : fcntl((int)fd, F_DUPFD_CLOEXEC, MOVED);
    if (moved[i] < 0) return EXIT_USAGE;
  }
  if (linger < 0 || parse(argv[5]) <= 0) return EXIT_USAGE;
  for (int i = 0; i < HELD - ROUTE; i++)
    if (dup3(moved[i], ROUTE + i, O_CLOEXEC) < 0) return EXIT_SETUP;
  close_range(HELD, ~0u, 0);
  prctl(PR_SET_NAME, "husk-keeper", 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  if (chdir("/") < 0 || !links_subscribe(ROUTE)) return EXIT_SETUP;
  struct pasta pasta = {.argv = argc > 6 ? argv + 6 : NULL, .pidfd = -1, .said = -1};
  return keep(linger, &pasta);
}
