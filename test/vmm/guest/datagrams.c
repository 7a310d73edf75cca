/*
 * UDP between neighbours, for which busybox has no program: `datagrams serve PORT` sends each datagram back to whoever
 * sent it; `datagrams ask ADDRESS PORT LENGTH` sends one of so many bytes until the same bytes come back from
 * there, and prints `same`. Run in containers of both kinds by test/vmm/network.test.ts.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  MOST = 65507, /* bytes of a datagram of IPv4: RFC 791 § 3.1, RFC 768 */
  PATIENCE = 1000, /* ms until it is sent again, and how often: a busy host */
  TRIES = 90,
};

static unsigned char sent[MOST], got[MOST];

static int serve(int fd, struct sockaddr_in here) {
  here.sin_addr.s_addr = htonl(INADDR_ANY);
  if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0) return perror("bind"), 1;
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, got, sizeof got, 0, (struct sockaddr *)&from, &size);
    if (length >= 0) sendto(fd, got, (size_t)length, 0, (struct sockaddr *)&from, size);
  }
}

static int ask(int fd, struct sockaddr_in there, long length) {
  if (length < 1 || length > MOST) return 2;
  if (connect(fd, (struct sockaddr *)&there, sizeof there) < 0) return perror("connect"), 1;
  for (long i = 0; i < length; i++) sent[i] = (unsigned char)(i * i >> 3);
  for (int i = 0; i < TRIES; i++) {
    /* a server that is not there yet is heard of as an error of either call */
    if (send(fd, sent, (size_t)length, 0) != length) sleep(1);
    struct pollfd wait_for = {.fd = fd, .events = POLLIN};
    if (poll(&wait_for, 1, PATIENCE) <= 0) continue;
    if (recv(fd, got, sizeof got, 0) != length || memcmp(sent, got, (size_t)length) != 0) continue;
    puts("same");
    return 0;
  }
  puts("no answer");
  return 1;
}

int main(int argc, char **argv) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in place = {.sin_family = AF_INET};
  if (argc == 3 && strcmp(argv[1], "serve") == 0) {
    place.sin_port = htons((unsigned short)atoi(argv[2]));
    return serve(fd, place);
  }
  if (argc != 5 || strcmp(argv[1], "ask") != 0 || inet_pton(AF_INET, argv[2], &place.sin_addr) != 1) return 2;
  place.sin_port = htons((unsigned short)atoi(argv[3]));
  return ask(fd, place, atol(argv[4]));
}
