/*
 * Sockets and namespace descriptors for the parent. A netlink socket acts in the network namespace it was made in, and
 * with the rights of who made it: so a process outside of the namespaces sets them up without entering them.
 */
#include "run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int netlink_socket(struct run *run, int family, const char *name) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
  if (fd < 0) fail(run, "socket", name);
  return fd;
}

/* On a port of the kernel's choosing: the parent asks which. A stream listens at once, or is there to connect. */
static int bound_socket(struct run *run, int type) {
  const char *text = run->step.string[0];
  struct sockaddr_in ipv4 = {.sin_family = AF_INET};
  struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
  bool is_ipv4 = inet_pton(AF_INET, text, &ipv4.sin_addr) == 1;
  if (!is_ipv4 && inet_pton(AF_INET6, text, &ipv6.sin6_addr) != 1) {
    errno = EINVAL;
    fail(run, "inet_pton", text);
  }
  const struct sockaddr *address = is_ipv4 ? (const struct sockaddr *)&ipv4 : (const struct sockaddr *)&ipv6;
  int fd = socket(address->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail(run, "socket", text);
  if (bind(fd, address, is_ipv4 ? sizeof ipv4 : sizeof ipv6) < 0) fail(run, "bind", text);
  bool listens = type == SOCK_STREAM && !(run->step.flags & STEP_ASKING);
  if (listens && listen(fd, SOMAXCONN) < 0) fail(run, "listen", text);
  return fd;
}

static int namespace_of(struct run *run, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(run, "open", path);
  return fd;
}

static int make(struct run *run, uint32_t kind) {
  switch (kind) {
  case SOCKET_RTNETLINK:
    return netlink_socket(run, NETLINK_ROUTE, "rtnetlink");
  case SOCKET_NETFILTER:
    return netlink_socket(run, NETLINK_NETFILTER, "nfnetlink");
  case SOCKET_UDP:
    return bound_socket(run, SOCK_DGRAM);
  case SOCKET_TCP:
    return bound_socket(run, SOCK_STREAM);
  case SOCKET_NETWORK_NAMESPACE:
    return namespace_of(run, "/proc/self/ns/net");
  default:
    return namespace_of(run, "/proc/self/ns/user");
  }
}

void do_sockets(struct run *run) {
  int made[SOCKET_KINDS];
  unsigned count = 0;
  uint32_t kinds = (uint32_t)run->step.number[0]; /* plan.c: none beyond SOCKET_KINDS */
  for (unsigned bit = 0; bit < SOCKET_KINDS; bit++)
    if (kinds & 1u << bit) made[count++] = make(run, 1u << bit);
  tell_sockets(run, kinds, made, count);
  for (unsigned i = 0; i < count; i++) close(made[i]);
}

/* The interface is of the namespace in which the device is opened, and goes with the last copy of its descriptor. */
void do_tap(struct run *run) {
  static const char DEVICE[] = "/dev/net/tun";
  const char *name = run->step.string[0];
  struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL)};
  memcpy(request.ifr_name, name, strlen(name)); /* plan.c: at most IFNAMSIZ - 1 */
  int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(run, "open", DEVICE);
  if (ioctl(fd, TUNSETIFF, &request) < 0) fail(run, "ioctl TUNSETIFF", name);
  tell_sockets(run, SOCKET_TAP, &fd, 1);
  close(fd);
}
