/*
 * traffic: what the bench of networks sends and receives; static, so that it runs in any container and outside of all.
 *
 *   traffic serve PORT               TCP, one connection after the other: what begins with 'e' is sent back, all else
 *                                    is read to its end
 *   traffic send ADDRESS PORT MS     one stream for so long; prints MB/s, up to the moment the server has read all
 *   traffic connect ADDRESS PORT N   N connections one after the other, one byte there and back; prints how many each
 *                                    second
 *   traffic echo ADDRESS PORT N      N bytes there and back on one connection; prints the median, in microseconds
 *   traffic ask NAME N               N questions for NAME's IPv4 address to the first server of /etc/resolv.conf;
 *                                    prints the median, in microseconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
/* a first byte that asks for what follows to be sent back */
#define ECHO 'e'
/* ms; an answer that takes longer is none */
#define PATIENCE 10000
#define DNS_PORT 53
/* RFC 1035: the header, the longest name, type and class */
#define DNS_HEADER 12
#define DNS_NAME 255
#define DNS_TAIL 4
#define DNS_MESSAGE 512

static char buffer[BUFFER];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static void print_median(double *times, int count) {
  qsort(times, (size_t)count, sizeof *times, ascending);
  printf("%.2f\n", times[count / 2]);
}

static double *times_of(int count) {
  double *times = calloc((size_t)count, sizeof *times);
  if (!times) fail("calloc");
  return times;
}

static int number(const char *text) {
  int value = atoi(text);
  if (value > 0) return value;
  fprintf(stderr, "traffic: %s is no count\n", text);
  exit(2);
}

static struct sockaddr_in address(const char *text, int port) {
  struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  if (inet_pton(AF_INET, text, &made.sin_addr) == 1) return made;
  fprintf(stderr, "traffic: %s is no IPv4 address\n", text);
  exit(2);
}

static int connected(const struct sockaddr_in *to) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) < 0) fail("connect");
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) fail("TCP_NODELAY");
  return fd;
}

/* One byte there and back. */
static void bounce(int fd) {
  char byte = ECHO;
  if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) fail("echo");
}

static _Noreturn void serve(int port) {
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("socket");
  if (bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, SOMAXCONN) < 0) fail("listen");
  puts("ready");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int echo = -1;
    for (ssize_t size; (size = read(fd, buffer, sizeof buffer)) > 0;) {
      if (echo < 0) echo = buffer[0] == ECHO;
      if (echo && write(fd, buffer, (size_t)size) != size) break;
    }
    close(fd);
  }
}

static int send_for(const struct sockaddr_in *to, int milliseconds) {
  int fd = connected(to);
  double start = now(), bytes = 0;
  do {
    ssize_t size = write(fd, buffer, sizeof buffer);
    if (size < 0) fail("write");
    bytes += (double)size;
  } while (now() - start < milliseconds * 1e3);
  char byte;
  if (shutdown(fd, SHUT_WR) < 0 || read(fd, &byte, 1) != 0) fail("the server has not read all");
  printf("%.1f\n", bytes / (now() - start));
  return 0;
}

static int connect_often(const struct sockaddr_in *to, int count) {
  double start = now();
  for (int i = 0; i < count; i++) {
    int fd = connected(to);
    bounce(fd);
    close(fd);
  }
  printf("%.1f\n", count / ((now() - start) / 1e6));
  return 0;
}

static int echo_often(const struct sockaddr_in *to, int count) {
  int fd = connected(to);
  double *times = times_of(count);
  for (int i = 0; i < count; i++) {
    double start = now();
    bounce(fd);
    times[i] = now() - start;
  }
  print_median(times, count);
  return 0;
}

/* The first IPv4 server of /etc/resolv.conf. */
static struct sockaddr_in name_server(void) {
  char line[256], text[64];
  FILE *file = fopen("/etc/resolv.conf", "re");
  if (!file) fail("/etc/resolv.conf");
  struct in_addr ignored;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "nameserver %63s", text) == 1 && inet_pton(AF_INET, text, &ignored) == 1) {
      fclose(file);
      return address(text, DNS_PORT);
    }
  fputs("traffic: /etc/resolv.conf names no server\n", stderr);
  exit(1);
}

/* @return the size of a question for NAME's A record in `message` (RFC 1035 4.1) */
static size_t question(const char *name, unsigned char message[DNS_MESSAGE]) {
  static const unsigned char HEADER[DNS_HEADER] = {0, 0, 1, 0, 0, 1}, TAIL[DNS_TAIL] = {0, 1, 0, 1};
  size_t at = DNS_HEADER;
  if (strlen(name) > DNS_NAME - 2) fail("the name is too long");
  memcpy(message, HEADER, sizeof HEADER);
  for (const char *label = name; *label;) {
    size_t length = strcspn(label, ".");
    message[at++] = (unsigned char)length;
    memcpy(message + at, label, length);
    at += length;
    label += length + (label[length] == '.');
  }
  message[at++] = 0;
  memcpy(message + at, TAIL, sizeof TAIL);
  return at + sizeof TAIL;
}

static int ask(const char *name, int count) {
  unsigned char message[DNS_MESSAGE], answer[DNS_MESSAGE];
  size_t size = question(name, message);
  struct sockaddr_in server = name_server();
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
  double *times = times_of(count);
  for (int i = 0; i < count; i++) {
    message[0] = (unsigned char)(i >> 8);
    message[1] = (unsigned char)i;
    double start = now();
    if (send(fd, message, size, 0) != (ssize_t)size) fail("send");
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, PATIENCE) != 1) fail("no answer");
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    times[i] = now() - start;
    /* its number, no error, at least one address */
    int ours = got > DNS_HEADER && answer[0] == message[0] && answer[1] == message[1];
    if (!ours || (answer[3] & 15) != 0 || answer[7] == 0) {
      fprintf(stderr, "traffic: %s has no address by this server\n", name);
      return 1;
    }
  }
  print_median(times, count);
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (argc == 3 && strcmp(what, "serve") == 0) serve(number(argv[2]));
  if (argc == 4 && strcmp(what, "ask") == 0) return ask(argv[2], number(argv[3]));
  if (argc != 5) return 2;
  struct sockaddr_in to = address(argv[2], number(argv[3]));
  if (strcmp(what, "send") == 0) return send_for(&to, number(argv[4]));
  if (strcmp(what, "connect") == 0) return connect_often(&to, number(argv[4]));
  if (strcmp(what, "echo") == 0) return echo_often(&to, number(argv[4]));
  return 2;
}
