/*
 * Forwards a container's published ports: it takes listening sockets from the supervisor, and keeps a worker on them
 * (worker.c) until the supervisor's end of the control socket is closed. The sockets belong to this process, so that no
 * client is refused between a worker's death and the next worker. A worker serves on when this process dies, so that a
 * virtual machine's monitor, which may start nothing, loses its ports only when both of them are killed.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTROL 3
#define RETRY_FIRST 100 /* ms before a worker's next start: the first is at once, each wait is doubled */
#define RETRY_MOST 5000
#define STEADY 10       /* s after which a worker counts as good */

static struct port ports[CONTROL_PORTS_ALL];
static unsigned port_count;

void forward_reply(int control, int error, const char *what) {
  uint8_t message[64];
  size_t length = strlen(what);
  if (length > sizeof message - sizeof error) length = sizeof message - sizeof error;
  memcpy(message, &error, sizeof error);
  memcpy(message + sizeof error, what, length);
  (void)send(control, message, sizeof error + length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static _Noreturn void refuse(int error, const char *why) {
  forward_reply(CONTROL, error, why);
  _exit(EXIT_SETUP);
}

static int option_of(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}

/* Checks that the socket is what its port says, because the writer of the message may have miscounted. */
static bool is_fit(const struct port *port) {
  int domain = option_of(port->socket, SO_DOMAIN), type = option_of(port->socket, SO_TYPE);
  bool listens = option_of(port->socket, SO_ACCEPTCONN) == 1;
  if (domain != AF_INET && domain != AF_INET6) return false;
  if (port->protocol == IPPROTO_TCP ? type != SOCK_STREAM || !listens : type != SOCK_DGRAM) return false;
  return fcntl(port->socket, F_SETFL, fcntl(port->socket, F_GETFL) | O_NONBLOCK) == 0;
}

/* Receives one control message and returns its flags. Ends the process when there is none. */
static unsigned receive(void) {
  static uint8_t data[CONTROL_MESSAGE];
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(CONTROL_PORTS * sizeof(int))];
  } rights;
  int sockets[CONTROL_PORTS];
  unsigned attached = 0, flags = 0, first = port_count;
  struct iovec part = {data, sizeof data};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights};
  ssize_t got;
  do got = recvmsg(CONTROL, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) _exit(0);
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) refuse(EMSGSIZE, "message too long");
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    /* There are at most CONTROL_PORTS descriptors, because the room has that size. */
    attached = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof *sockets);
    memcpy(sockets, CMSG_DATA(header), attached * sizeof *sockets);
  }
  const char *reason = control_read(data, (size_t)got, attached, ports, &port_count, &flags);
  if (reason) refuse(EINVAL, reason);
  for (unsigned i = 0; i < attached; i++) {
    ports[first + i].socket = sockets[i];
    if (!is_fit(&ports[first + i])) refuse(EINVAL, "not a socket for its port");
  }
  return flags;
}

static time_t seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec;
}

/* Waits for the child, and kills it and ends when the supervisor is gone. */
static int wait_for(pid_t child) {
  int status = 0;
  struct pollfd ends[] = {{CONTROL, POLLIN, 0}, {(int)syscall(SYS_pidfd_open, child, 0), POLLIN, 0}};
  while (ends[1].fd >= 0 && !ends[1].revents) {
    char rest[64];
    if (poll(ends, 2, -1) < 0 && errno != EINTR) break;
    /* An unknown message is skipped, and the kernel closes the descriptors attached to it. */
    ssize_t got = ends[0].revents ? read(CONTROL, rest, sizeof rest) : 1;
    if (got == 0 || (got < 0 && errno != EINTR)) {
      kill(child, SIGKILL);
      /* whoever sees this process's end of the control socket close finds the ports free */
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
      _exit(0);
    }
  }
  if (ends[1].fd < 0) kill(child, SIGKILL);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (ends[1].fd >= 0) close(ends[1].fd);
  return status;
}

/* Waits for so many ms, and ends when the supervisor is gone. */
static void sleep_for(int wait) {
  struct pollfd control = {CONTROL, 0, 0};
  if (wait > 0 && poll(&control, 1, wait) > 0) _exit(0);
}

int forward_main(int control) {
  struct rlimit limit;
  unsigned flags;
  if (control != CONTROL && dup3(control, CONTROL, O_CLOEXEC) < 0) return EXIT_USAGE;
  close_range(CONTROL + 1, ~0u, 0);
  prctl(PR_SET_NAME, "husk-forward", 0, 0, 0);
  if (chdir("/") < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0) return EXIT_SETUP;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  do flags = receive();
  while (!(flags & CONTROL_LAST));
  for (int wait = 0;;) {
    time_t began = seconds();
    pid_t child = fork();
    if (child == 0) worker_main(ports, port_count, flags & CONTROL_PLAIN, CONTROL);
    int status = child < 0 ? 0 : wait_for(child);
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SETUP) return EXIT_SETUP;
    if (seconds() - began >= STEADY) wait = 0;
    sleep_for(child < 0 && wait == 0 ? RETRY_FIRST : wait);
    wait = wait == 0 ? RETRY_FIRST : wait > RETRY_MOST / 2 ? RETRY_MOST : 2 * wait;
  }
}
