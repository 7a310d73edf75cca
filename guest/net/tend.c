/*
 * Tends a warden (src/network/warden/): starts it, and starts another one when it was killed. The monitor of a virtual
 * machine may start nothing and the command that started the machine has ended, so nobody else could.
 *
 * A warden's descriptors are this process's too, so that the next warden goes on by the same sockets; nothing is read
 * of them here. What the first warden is told by stdin is kept, and told to each of the next. A warden serves on when
 * this process dies. One that ends by itself with status 0 has nothing more to do, and neither has this process; nor
 * has it when the monitor's end of the questions is closed, for a program that cannot be started any more would be
 * tried for ever otherwise. A monitor that was taken over gains nothing by closing it: rules stay as they are.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUESTIONS 3          /* src/network/warden/task.ts: a socket to the machine's monitor */
#define TOLD_MOST (4u << 20) /* bytes: a task holds the labels and options of a machine's networks */
#define RETRY_FIRST 100L     /* ms before a warden's next start: the first is at once, each wait is doubled */
#define RETRY_MOST 5000L
#define STEADY 10000L        /* ms after which a warden counts as good */

static char told[TOLD_MOST];
static size_t told_length;
static bool told_all;

struct warden {
  pid_t pid;    /* 0: not running */
  int pidfd;
  int stdin_fd; /* -1: it has been told everything */
  size_t heard; /* bytes of `told` that were written to it */
  long started, next, wait;
};

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static _Noreturn void run(char **argv, int in) {
  prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  if (dup2(in, STDIN_FILENO) == STDIN_FILENO) execv(argv[0], argv + 1);
  _exit(127);
}

static void start(struct warden *warden, char **argv, long at) {
  int in[2];
  warden->started = at;
  warden->next = at + RETRY_FIRST; /* for the case that there is no process to be had now */
  if (pipe2(in, O_CLOEXEC) < 0) return;
  warden->pid = fork();
  if (warden->pid == 0) run(argv, in[0]);
  close(in[0]);
  if (warden->pid > 0) warden->pidfd = (int)syscall(SYS_pidfd_open, warden->pid, 0);
  if (warden->pid > 0 && warden->pidfd >= 0 && fcntl(in[1], F_SETFL, O_NONBLOCK) == 0) {
    warden->stdin_fd = in[1];
    warden->heard = 0;
    return;
  }
  close(in[1]);
  if (warden->pid > 0) {
    kill(warden->pid, SIGKILL);
    while (waitpid(warden->pid, NULL, 0) < 0 && errno == EINTR) continue;
    if (warden->pidfd >= 0) close(warden->pidfd);
  }
  warden->pid = 0;
  warden->pidfd = -1;
}

/* Reads what the command says; false when it says more than a task can be. */
static bool hear(void) {
  ssize_t got = read(STDIN_FILENO, told + told_length, sizeof told - told_length);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) told_all = true;
  told_length += (size_t)got;
  return told_length < sizeof told;
}

/* Passes on as much as the warden takes; one that takes nothing any more is dead, or about to be. */
static void pass_on(struct warden *warden) {
  while (warden->heard < told_length) {
    ssize_t put = write(warden->stdin_fd, told + warden->heard, told_length - warden->heard);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) return;
    if (put < 0) break;
    warden->heard += (size_t)put;
  }
  if (warden->heard < told_length || told_all) {
    close(warden->stdin_fd);
    warden->stdin_fd = -1;
  }
}

static bool is_hung_up(int fd) {
  struct pollfd end = {fd, 0, 0};
  return poll(&end, 1, 0) > 0 && (end.revents & (POLLHUP | POLLNVAL));
}

/* Returns whether there is nothing more to do for a warden. */
static bool bury(struct warden *warden, long at) {
  int status = 0;
  while (waitpid(warden->pid, &status, 0) < 0 && errno == EINTR) continue;
  if (at - warden->started >= STEADY) warden->wait = 0;
  warden->next = at + warden->wait;
  warden->wait = warden->wait == 0 ? RETRY_FIRST : warden->wait >= RETRY_MOST / 2 ? RETRY_MOST : 2 * warden->wait;
  if (warden->stdin_fd >= 0) close(warden->stdin_fd);
  close(warden->pidfd);
  warden->pid = 0;
  warden->pidfd = warden->stdin_fd = -1;
  return (WIFEXITED(status) && WEXITSTATUS(status) == 0) || is_hung_up(QUESTIONS);
}

int tend_main(char **argv) {
  struct warden warden = {.pidfd = -1, .stdin_fd = -1};
  bool is_first = true;
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  prctl(PR_SET_NAME, "husk-tend", 0, 0, 0);
  /* A logout ends the machine first, which wants its names until then. */
  for (unsigned i = 0; i < 4; i++) signal((int[]){SIGTERM, SIGINT, SIGHUP, SIGPIPE}[i], SIG_IGN);
  if (nothing < 0 || chdir("/") < 0) return EXIT_SETUP;
  for (;;) {
    long at = now();
    if (!warden.pid && warden.next <= at) {
      start(&warden, argv, at);
      /* Whoever started this process waits for the first warden's word, and sees by the end of it that it has died. */
      if (is_first && dup2(nothing, STDOUT_FILENO) < 0) return EXIT_SETUP;
      is_first = false;
    }
    if (warden.stdin_fd >= 0) pass_on(&warden);
    bool has_more = warden.stdin_fd >= 0 && warden.heard < told_length;
    struct pollfd wait_for[] = {
      {told_all ? -1 : STDIN_FILENO, POLLIN, 0},
      {warden.pidfd, POLLIN, 0},
      {has_more ? warden.stdin_fd : -1, POLLOUT, 0},
    };
    long pause = warden.pid ? -1 : warden.next > at ? warden.next - at : 0;
    if (poll(wait_for, 3, (int)pause) < 0) {
      if (errno != EINTR) return EXIT_SETUP;
      continue;
    }
    if (wait_for[0].revents && !hear()) return EXIT_SETUP;
    if (wait_for[1].revents && bury(&warden, now())) return 0;
  }
}
