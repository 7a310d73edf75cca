/*
 * Connects to unix sockets of the host's for the monitor of a virtual machine, which is in a jail that has neither their
 * paths nor socket(2) and connect(2). The paths come with the program's arguments; the monitor names a path by its
 * number and gets the connected socket, so that no byte of a connection passes here. Outside of the jail, in the host's
 * namespaces, and ends when the monitor's end of the control socket is closed.
 *
 * The monitor may have been taken over by its guest. What is not a message ends this process, and with it nothing but
 * the machine's later connections. It has RELAY_SLOTS connections and no more, whatever it says: each has a slot until
 * the monitor gives it back, and giving it back shuts the socket down, for every copy of it.
 *
 * A path is looked up at each connect, so that a server that was started again is found, and follows no link: whoever
 * may write beside a socket (a guest with that folder, too) cannot lead the relay out of what it may write anyway.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONTROL 3
#define AGAIN 20       /* ms until a server whose queue of connections was full is tried again */
#define PATIENCE 30000 /* ms after which it counts as one that answers nobody */

enum state { FREE, WAITING, CONNECTED };
struct slot {
  enum state state;
  uint8_t number;
  int socket;    /* of one that is connected: a copy of the monitor's */
  long deadline; /* of one that waits: ms of CLOCK_MONOTONIC */
};
static struct slot slots[RELAY_SLOTS];
static char **paths;
static unsigned path_count;
/* The one as whom it connects: for the host's root the root of a container, else nobody but itself. */
static bool is_root;
static uid_t user;
static gid_t group;

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* One that cannot be itself again may not go on. */
static void become(uid_t to_user, gid_t to_group) {
  if (!is_root) return;
  /* a group can be given up by root alone, and taken back by nobody else */
  if (to_user == 0 && setresuid((uid_t)-1, 0, (uid_t)-1) < 0) _exit(EXIT_SETUP);
  if (setresgid((gid_t)-1, to_group, (gid_t)-1) < 0) _exit(EXIT_SETUP);
  if (to_user != 0 && setresuid((uid_t)-1, to_user, (uid_t)-1) < 0) _exit(EXIT_SETUP);
}

/* Returns a descriptor that names what is at an absolute path without links in it; -1 and errno on failure. */
static int look_up(const char *path) {
  const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  int at = openat(AT_FDCWD, "/", flags);
  for (const char *part = path; at >= 0;) {
    char name[NAME_MAX + 1];
    part += strspn(part, "/");
    size_t length = strcspn(part, "/");
    if (length == 0) break;
    int error = ENAMETOOLONG, next = -1;
    if (length <= NAME_MAX) {
      memcpy(name, part, length);
      name[length] = 0;
      next = openat(at, name, flags); /* a link is opened itself, and has nothing below it (ENOTDIR) */
      error = errno;
    }
    close(at);
    errno = error;
    at = next;
    part += length;
  }
  return at;
}

/* Returns a connected socket; -1 and errno on failure. What is at the path and no socket refuses (ECONNREFUSED). */
static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int found = look_up(path), error, fd;
  if (found < 0) return -1;
  /* By the descriptor: what is connected to is what was looked up, and a path may be longer than an address. */
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", found);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    become(user, group);
    int failed = connect(fd, (struct sockaddr *)&address, sizeof address);
    error = errno;
    become(0, 0);
    if (failed < 0) {
      close(fd);
      fd = -1;
    }
  } else error = errno;
  close(found);
  errno = error;
  return fd;
}

/* Tells the monitor how a connect ended. One that does not take the answer gets no more of them. */
static void answer(uint8_t slot, uint8_t error, int fd) {
  uint8_t data[2] = {slot, error};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } rights = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct iovec part = {data, sizeof data};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memcpy(CMSG_DATA(&rights.header), &fd, sizeof fd);
    message.msg_control = &rights;
    message.msg_controllen = CMSG_LEN(sizeof fd);
  }
  if (sendmsg(CONTROL, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) _exit(EXIT_SETUP);
}

static void try_slot(uint8_t index) {
  struct slot *slot = &slots[index];
  int fd = connect_to(paths[slot->number]), error = errno;
  if (fd < 0 && error == EAGAIN && now() < slot->deadline) return;
  slot->state = fd < 0 ? FREE : CONNECTED;
  slot->socket = fd;
  answer(index, fd < 0 ? (uint8_t)error : 0, fd);
}

static void give_back(uint8_t index) {
  struct slot *slot = &slots[index];
  if (slot->state == WAITING) answer(index, ECONNABORTED, -1);
  if (slot->state == CONNECTED) {
    shutdown(slot->socket, SHUT_RDWR); /* the monitor may say that it has closed its own, and keep it */
    close(slot->socket);
  }
  slot->state = FREE; /* a connect that failed meanwhile has freed it already */
}

/* Does what one message asks. Ends the process when there is no monitor, or it says what is no message. */
static void receive(void) {
  uint8_t data[RELAY_REQUEST + 1];
  struct iovec part = {data, sizeof data};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1}; /* no room for descriptors: the kernel closes them */
  ssize_t got = recvmsg(CONTROL, &message, MSG_DONTWAIT);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) _exit(0);
  uint8_t index = data[1], number = data[2];
  if (got != RELAY_REQUEST || index >= RELAY_SLOTS) _exit(EXIT_USAGE);
  if (data[0] == RELAY_CLOSE) {
    give_back(index);
    return;
  }
  if (data[0] != RELAY_CONNECT || number >= path_count || slots[index].state != FREE) _exit(EXIT_USAGE);
  slots[index] = (struct slot){WAITING, number, -1, now() + PATIENCE};
  try_slot(index);
}

/* Returns whether some are still waiting. */
static bool try_again(void) {
  bool waiting = false;
  for (unsigned i = 0; i < RELAY_SLOTS; i++) {
    if (slots[i].state == WAITING) try_slot((uint8_t)i);
    waiting = waiting || slots[i].state == WAITING;
  }
  return waiting;
}

/* Reads the argument that says as whom it connects; false when it is none. */
static bool read_identity(const char *text) {
  unsigned long ids[2];
  char *end;
  if (strcmp(text, "-") == 0) return true;
  ids[0] = strtoul(text, &end, 10);
  if (*end != ':') return false;
  ids[1] = strtoul(end + 1, &end, 10);
  if (*end || ids[0] == 0 || ids[0] >= UINT_MAX || ids[1] == 0 || ids[1] >= UINT_MAX) return false;
  is_root = true;
  user = (uid_t)ids[0];
  group = (gid_t)ids[1];
  return true;
}

int relay_main(int argc, char **argv) {
  const uint64_t root = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_DAC_READ_SEARCH;
  if (!read_identity(argv[0])) return EXIT_USAGE;
  paths = argv + 1;
  path_count = (unsigned)argc - 1;
  prctl(PR_SET_NAME, "husk-relay", 0, 0, 0);
  close_range(CONTROL + 1, ~0u, 0);
  /* A logout ends the machine first, whose container may want its sockets until then. */
  for (unsigned i = 0; i < 3; i++) signal((int[]){SIGTERM, SIGINT, SIGHUP}[i], SIG_IGN);
  if (chdir("/") < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return EXIT_SETUP;
  if (is_root && setgroups(0, NULL) < 0) return EXIT_SETUP;
  if (!keep_capabilities(is_root ? root : 0) || !forbid_all_but_connecting()) return EXIT_SETUP;
  for (bool waiting = false;;) {
    struct pollfd control = {CONTROL, POLLIN, 0};
    int ready = poll(&control, 1, waiting ? AGAIN : -1);
    if (ready < 0 && errno != EINTR) return EXIT_SETUP;
    if (ready > 0) receive();
    waiting = try_again();
  }
}
