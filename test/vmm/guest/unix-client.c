/*
 * unix-client PATH        stdin to a unix socket and back to stdout; each direction ends by itself
 * unix-client PATH COUNT  so many connections at once, a byte to and from each; says how many answered
 * A connect that fails is told on stderr, and the exit status is 1.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int reach(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  perror("connect");
  exit(1);
}

/* Returns false at the end of what is read. */
static int copy(int from, int to) {
  static char buffer[65536];
  ssize_t got = read(from, buffer, sizeof buffer);
  if (got < 0) perror("read");
  for (ssize_t at = 0, put; at < got; at += put)
    if ((put = send(to, buffer + at, (size_t)(got - at), MSG_NOSIGNAL)) < 0 &&
        (put = write(to, buffer + at, (size_t)(got - at))) < 0) {
      perror("write");
      return 0;
    }
  return got > 0;
}

static int flood(const char *path, int count) {
  int answered = 0, *fds = calloc((size_t)count, sizeof *fds);
  char byte = 'x';
  for (int i = 0; i < count; i++) fds[i] = reach(path);
  for (int i = 0; i < count; i++) (void)!send(fds[i], &byte, 1, MSG_NOSIGNAL);
  for (int i = 0; i < count; i++) answered += read(fds[i], &byte, 1) == 1;
  printf("%d\n", answered);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3) return flood(argv[1], atoi(argv[2]));
  int fd = reach(argv[1]);
  struct pollfd both[] = {{0, POLLIN, 0}, {fd, POLLIN, 0}};
  while (both[1].fd >= 0) {
    poll(both, 2, -1);
    if (both[0].revents && !copy(0, fd)) {
      both[0].fd = -1;
      shutdown(fd, SHUT_WR);
    }
    if (both[1].revents && !copy(fd, 1)) both[1].fd = -1;
  }
  return 0;
}
