/*
 * UDP: a flow is a client's address and a socket connected to the container. The container's answers leave by the
 * published socket, from the address that the client used. Flows end when they are idle; when a port has as many as it
 * may, the flow that was idle the longest makes room, so that forged senders cannot keep new clients out.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define NONE UINT32_MAX
#ifndef UDP_IDLE
#define UDP_IDLE 180000u /* ms: nf_conntrack_udp_timeout_stream was 180 s for twenty years, and clients rely on it */
#endif
#define CHECK (UDP_IDLE / 36) /* ms between two checks for idle flows: 5 s */
#define BATCH 64              /* datagrams of one socket before the others have their turn */
#define BUCKETS 4096u

struct flow {
  int fd; /* -1: the slot is free */
  uint32_t port, generation;
  uint32_t chain;        /* the next flow of the bucket, or the next free slot */
  uint32_t older, newer; /* neighbours in the port's list by last use */
  uint64_t used;         /* ms */
  union name client;
  union {
    struct in_pktinfo v4;
    struct in6_pktinfo v6;
  } asked; /* the host's address that the client used last */
};

static struct flow flows[MAX_FLOWS_UDP];
static uint32_t buckets[BUCKETS];
static struct {
  uint32_t oldest, newest;
} lists[CONTROL_PORTS_ALL];
static uint32_t free_first, never_used, open_count;
static uint64_t next_check, secret;

void udp_begin(void) {
  for (uint32_t i = 0; i < BUCKETS; i++) buckets[i] = NONE;
  for (uint32_t i = 0; i < worker.port_count; i++) lists[i].oldest = lists[i].newest = NONE;
  free_first = NONE;
  /* Senders choose their addresses: without a secret they could choose addresses that all fall into one bucket. */
  if (getrandom(&secret, sizeof secret, GRND_NONBLOCK) != sizeof secret) secret = worker.now ^ (uint64_t)getpid();
}

static uint32_t *bucket_of(uint32_t port, const union name *client) {
  uint64_t words[3] = {(uint64_t)port << 32 | name_port(client), 0, 0};
  if (client->any.sa_family == AF_INET) memcpy(words + 1, &client->v4.sin_addr, 4);
  else memcpy(words + 1, &client->v6.sin6_addr, 16);
  uint64_t hash = secret;
  for (unsigned i = 0; i < 3; i++) {
    hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u; /* 2^64 divided by the golden ratio: Knuth, vol. 3 § 6.4 */
    hash ^= hash >> 32;
  }
  return &buckets[hash % BUCKETS];
}

static uint32_t find(uint32_t port, const union name *client) {
  uint32_t index = *bucket_of(port, client);
  for (; index != NONE; index = flows[index].chain)
    if (flows[index].port == port && same_name(&flows[index].client, client)) break;
  return index;
}

static void unlink_use(struct flow *flow) {
  if (flow->older == NONE) lists[flow->port].oldest = flow->newer;
  else flows[flow->older].newer = flow->newer;
  if (flow->newer == NONE) lists[flow->port].newest = flow->older;
  else flows[flow->newer].older = flow->older;
}

static void link_use(struct flow *flow) {
  uint32_t index = (uint32_t)(flow - flows);
  flow->used = worker.now;
  flow->newer = NONE;
  flow->older = lists[flow->port].newest;
  if (flow->older == NONE) lists[flow->port].oldest = index;
  else flows[flow->older].newer = index;
  lists[flow->port].newest = index;
}

static void touch(struct flow *flow) {
  unlink_use(flow);
  link_use(flow);
}

static void end(uint32_t index) {
  struct flow *flow = &flows[index];
  uint32_t *at = bucket_of(flow->port, &flow->client);
  while (*at != index) at = &flows[*at].chain;
  *at = flow->chain;
  unlink_use(flow);
  close(flow->fd);
  flow->fd = -1;
  flow->generation = (flow->generation + 1) & GENERATIONS;
  flow->chain = free_first;
  free_first = index;
  worker.ports[flow->port].flows--;
  open_count--;
}

/* Makes room for a flow of a port: its own oldest flow ends, or where it has none, one of the port that has most. */
static void end_oldest(uint32_t port) {
  for (uint32_t i = 0; worker.ports[port].flows == 0 && i < worker.port_count; i++)
    if (worker.ports[i].protocol == IPPROTO_UDP && worker.ports[i].flows > worker.ports[port].flows) port = i;
  if (lists[port].oldest != NONE) end(lists[port].oldest);
}

/* Tells whether another published port leads to the same place and this client has a flow of its own name there. */
static bool is_name_in_use(uint32_t port, const union name *client) {
  const struct port *own = &worker.ports[port];
  for (uint32_t i = 0; i < worker.port_count; i++) {
    const struct port *other = &worker.ports[i];
    bool alike = other->protocol == own->protocol && other->family == own->family && other->number == own->number;
    if (i == port || !alike || memcmp(&other->container, &own->container, sizeof own->container) != 0) continue;
    if (find(i, client) != NONE) return true;
  }
  return false;
}

static uint32_t begin(uint32_t port, const union name *client) {
  if (worker.ports[port].flows >= MAX_FLOWS_UDP_PORT || open_count >= worker.udp_capacity) end_oldest(port);
  int fd = far_socket(&worker.ports[port], client, is_name_in_use(port, client));
  if (fd < 0) return NONE;
  uint32_t index = free_first;
  if (index != NONE) free_first = flows[index].chain;
  else if (never_used < MAX_FLOWS_UDP) index = never_used++;
  if (index == NONE || !watch(fd, EPOLLIN, KIND_UDP, flows[index].generation, index)) {
    close(fd);
    if (index == NONE) return NONE;
    flows[index].fd = -1;
    flows[index].chain = free_first;
    free_first = index;
    return NONE;
  }
  struct flow *flow = &flows[index];
  flow->fd = fd;
  flow->port = port;
  flow->client = *client;
  uint32_t *bucket = bucket_of(port, client);
  flow->chain = *bucket;
  *bucket = index;
  link_use(flow);
  worker.ports[port].flows++;
  if (open_count++ == 0) next_check = worker.now + CHECK;
  return index;
}

union control_room {
  struct cmsghdr header;
  char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Reads which of the host's addresses was used; the socket reports it (src/host/streams/inet-socket.ts). */
static void read_asked(struct msghdr *message, struct flow *flow) {
  memset(&flow->asked, 0, sizeof flow->asked);
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
    bool v4 = header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO;
    bool v6 = header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO;
    size_t size = v4 ? sizeof flow->asked.v4 : v6 ? sizeof flow->asked.v6 : 0;
    if (size > 0 && header->cmsg_len >= CMSG_LEN(size)) memcpy(&flow->asked, CMSG_DATA(header), size);
  }
}

static void pass_on(const struct flow *flow, size_t length) {
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  /* The first error may belong to the datagram before this one: icmp(7). */
  if (send(flow->fd, shared_buffer, length, flags) < 0 && errno == ECONNREFUSED)
    (void)send(flow->fd, shared_buffer, length, flags);
}

void udp_receive(uint32_t port) {
  for (int datagrams = 0; datagrams < BATCH; datagrams++) {
    union name client;
    union control_room control;
    struct iovec part = {shared_buffer, BUFFER};
    struct msghdr message = {.msg_name = &client, .msg_namelen = sizeof client, .msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    memset(&client, 0, sizeof client);
    ssize_t got = recvmsg(worker.ports[port].socket, &message, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    /* An error belongs to a datagram that was sent before; a sender without a port cannot be answered. */
    if (got < 0 || name_port(&client) == 0) continue;
    uint32_t index = find(port, &client);
    if (index == NONE) index = begin(port, &client);
    if (index == NONE) continue; /* the datagram is lost, as datagrams may be */
    struct flow *flow = &flows[index];
    read_asked(&message, flow);
    touch(flow);
    pass_on(flow, (size_t)got);
  }
}

/* Sets from which address a datagram leaves; a multicast address cannot send, and then the kernel chooses. */
static void write_asked(struct msghdr *message, union control_room *control, const struct flow *flow) {
  memset(control, 0, sizeof *control);
  struct cmsghdr *header = &control->header;
  if (flow->client.any.sa_family == AF_INET) {
    struct in_pktinfo from = {.ipi_spec_dst = flow->asked.v4.ipi_spec_dst};
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof from), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(header), &from, sizeof from);
    message->msg_controllen = CMSG_SPACE(sizeof from);
  } else if (!IN6_IS_ADDR_MULTICAST(&flow->asked.v6.ipi6_addr)) {
    struct in6_pktinfo from = {.ipi6_addr = flow->asked.v6.ipi6_addr};
    if (IN6_IS_ADDR_LINKLOCAL(&from.ipi6_addr)) from.ipi6_ifindex = flow->asked.v6.ipi6_ifindex;
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof from), .cmsg_level = IPPROTO_IPV6};
    header->cmsg_type = IPV6_PKTINFO;
    memcpy(CMSG_DATA(header), &from, sizeof from);
    message->msg_controllen = CMSG_SPACE(sizeof from);
  } else return;
  message->msg_control = control;
}

void udp_event(uint32_t index, uint32_t generation) {
  if (index >= MAX_FLOWS_UDP || flows[index].fd < 0 || flows[index].generation != generation) return;
  struct flow *flow = &flows[index];
  const struct port *port = &worker.ports[flow->port];
  union name container;
  name_of(&container, port, &port->container, port->number);
  for (int datagrams = 0; datagrams < BATCH; datagrams++) {
    union name sender;
    socklen_t length = sizeof sender;
    memset(&sender, 0, sizeof sender);
    ssize_t got = recvfrom(flow->fd, shared_buffer, BUFFER, MSG_DONTWAIT, &sender.any, &length);
    if (got < 0 && errno == EAGAIN) return;
    /* Between its bind and its connect the socket accepted datagrams from other containers. */
    if (got < 0 || !same_name(&sender, &container)) continue;
    union control_room control;
    struct iovec part = {shared_buffer, (size_t)got};
    struct msghdr message = {.msg_name = &flow->client, .msg_iov = &part, .msg_iovlen = 1};
    message.msg_namelen = name_length(&flow->client);
    write_asked(&message, &control, flow);
    touch(flow);
    (void)sendmsg(port->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

int udp_expire(void) {
  if (open_count == 0) return -1;
  if (worker.now >= next_check) {
    for (uint32_t i = 0; i < worker.port_count; i++)
      while (lists[i].oldest != NONE && flows[lists[i].oldest].used + UDP_IDLE <= worker.now) end(lists[i].oldest);
    next_check = worker.now + CHECK;
  }
  return open_count == 0 ? -1 : (int)(next_check - worker.now);
}
