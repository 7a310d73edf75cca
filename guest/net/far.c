/*
 * The far side of a flow: a socket in the container's network that carries the client's own address and port
 * (IP_TRANSPARENT), so that the container sees its client. The network's rules send the answers back to this socket.
 *
 * The gateway's address stands for a client without a usable address there: one of the host's loopback, of a link, of
 * the other family, or in the network's own subnet, whose answer would not come through the gateway.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75 /* linux/in6.h, which cannot be included beside netinet/in.h */
#endif

socklen_t name_length(const union name *name) {
  return name->any.sa_family == AF_INET ? sizeof name->v4 : sizeof name->v6;
}

in_port_t name_port(const union name *name) {
  return name->any.sa_family == AF_INET ? name->v4.sin_port : name->v6.sin6_port;
}

void name_of(union name *name, const struct port *port, const struct address *address, in_port_t number) {
  memset(name, 0, sizeof *name);
  if (port->family == AF_INET) {
    name->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = number};
    memcpy(&name->v4.sin_addr, address->bytes, 4);
  } else {
    name->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = number};
    memcpy(&name->v6.sin6_addr, address->bytes, 16);
  }
}

bool same_name(const union name *one, const union name *other) {
  if (one->any.sa_family != other->any.sa_family || name_port(one) != name_port(other)) return false;
  if (one->any.sa_family == AF_INET) return one->v4.sin_addr.s_addr == other->v4.sin_addr.s_addr;
  if (one->v6.sin6_scope_id != other->v6.sin6_scope_id) return false;
  return memcmp(&one->v6.sin6_addr, &other->v6.sin6_addr, sizeof one->v6.sin6_addr) == 0;
}

static bool same_bits(const uint8_t *one, const uint8_t *other, unsigned bits) {
  unsigned whole = bits / 8, rest = bits % 8;
  if (memcmp(one, other, whole) != 0) return false;
  return rest == 0 || (one[whole] ^ other[whole]) >> (8 - rest) == 0;
}

/* Tells whether the client's address means the same in the container's network as outside. */
static bool is_showable(const struct port *port, const union name *client) {
  if (worker.plain || client->any.sa_family != port->family) return false;
  bool ipv4 = port->family == AF_INET;
  const uint8_t *address = ipv4 ? (const void *)&client->v4.sin_addr : (const void *)&client->v6.sin6_addr;
  if (same_bits(address, port->gateway.bytes, port->prefix)) return false;
  /* These are "this network", loopback, link-local, and addresses that send nothing: RFC 6890 § 2.2. */
  if (ipv4 && address[0] == 169 && address[1] == 254) return false;
  if (ipv4) return address[0] != 0 && address[0] != 127 && address[0] < 224;
  const struct in6_addr *v6 = &client->v6.sin6_addr;
  if (IN6_IS_ADDR_UNSPECIFIED(v6) || IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_V4MAPPED(v6)) return false;
  return !IN6_IS_ADDR_LINKLOCAL(v6) && !IN6_IS_ADDR_MULTICAST(v6);
}

static bool set_option(int fd, int level, int name) {
  int one = 1;
  return setsockopt(fd, level, name, &one, sizeof one) == 0;
}

/* Lets a socket carry an address that is not this machine's. */
static bool set_transparent(int fd, sa_family_t family) {
  if (family == AF_INET) return set_option(fd, IPPROTO_IP, IP_TRANSPARENT);
  return set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
}

static int new_socket(const struct port *port) {
  int type = port->protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
  int fd = socket(port->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  /*
   * A socket of the gateway's address needs this too: the network's rules let answers pass only for transparent
   * sockets.
   */
  if (worker.plain || set_transparent(fd, port->family)) return fd;
  close(fd);
  return -1;
}

/*
 * Binds a socket. A client's port is shared, because the same client may have a flow of that name to another published
 * port. Any other port is not shared; for TCP connect(2) chooses it for the whole tuple, because one address has more
 * clients than ports.
 */
static bool bind_to(int fd, const struct port *port, const union name *own) {
  if (name_port(own) != 0 && !set_option(fd, SOL_SOCKET, SO_REUSEADDR)) return false;
  bool chosen_later = name_port(own) == 0 && port->protocol == IPPROTO_TCP;
  if (chosen_later && !set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT)) return false;
  return bind(fd, &own->any, name_length(own)) == 0;
}

/* Returns a socket that connects to the container, or -1 and errno. */
static int connect_as(const struct port *port, const union name *own) {
  union name container;
  int fd = new_socket(port);
  if (fd < 0) return -1;
  name_of(&container, port, &port->container, port->number);
  bool bound = bind_to(fd, port, own);
  if (bound && (connect(fd, &container.any, name_length(&container)) == 0 || errno == EINPROGRESS)) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* Tells whether the name cannot be used: its tuple is in use, or its port is below ip_unprivileged_port_start. */
static bool is_taken(int error) {
  return error == EADDRINUSE || error == EADDRNOTAVAIL || error == EACCES || error == EINVAL;
}

int far_socket(const struct port *port, const union name *client, bool other_port) {
  union name own;
  int fd;
  if (is_showable(port, client)) {
    own = *client;
    if (port->family == AF_INET6) own.v6.sin6_flowinfo = 0;
    if (other_port) errno = EADDRINUSE;
    if (!other_port && (fd = connect_as(port, &own)) >= 0) return fd;
    if (!is_taken(errno)) return -1;
    if (port->family == AF_INET) own.v4.sin_port = 0;
    else own.v6.sin6_port = 0;
    if ((fd = connect_as(port, &own)) >= 0 || !is_taken(errno)) return fd;
  }
  name_of(&own, port, &port->gateway, 0);
  return connect_as(port, &own);
}
