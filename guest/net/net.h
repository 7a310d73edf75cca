/*
 * husk-net: the processes that a network of containers needs beside its supervisors, the one that sockets of a virtual
 * machine need, and what their files offer to each other. Nothing here allocates memory: every table has its size at compile time, so no peer can make one grow.
 */
#ifndef HUSK_NET_H
#define HUSK_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXIT_USAGE 2
#define EXIT_SETUP 3 /* a worker could not begin and has reported it: another one would fail too */

/* — pin.c, keep.c, forward.c: the programs — */
int pin_main(void);
int keep_main(int argc, char **argv); /* LINGER_MS ROUTE_FD NETNS_FD USERNS_FD PIN_FD PIN_PID [pasta argv...] */
int forward_main(int control);
/* Reports to the supervisor, which need not listen: an errno and what failed, or 0 when a worker has begun. */
void forward_reply(int control, int error, const char *what);

/* — relay.c: connects to sockets of the host's for a virtual machine's monitor — */
/*
 * Messages of src/vmm/sockets/messages.ts by a seqpacket socket.
 *   monitor  u8 RELAY_CONNECT|RELAY_CLOSE, u8 slot, u8 number of the socket (of a close: zero)
 *   relay    u8 slot, u8 errno: one answer to each connect; with 0 a descriptor is attached, the connected socket
 */
#define RELAY_CONNECT 1u
#define RELAY_CLOSE 2u
#define RELAY_REQUEST 3u /* bytes */
#define RELAY_SLOTS 64u  /* connections of one machine */
int relay_main(int argc, char **argv); /* UID:GID|- PATH... */

/* — tend.c: keeps the warden of a virtual machine running — */
int tend_main(char **argv); /* PROGRAM ARGV0 ARGUMENT... of the warden, whose descriptors are this process's own */

/* — links.c: the links of a network namespace, by rtnetlink(7) — */
/* Makes the socket receive every change from now on; false and errno on failure. */
bool links_subscribe(int route);
/*
 * Returns the number of ports of the bridge br0; -1 when the kernel's answer was incomplete. Events received until now
 * are read first.
 */
int links_ports(int route);

/* — control.c: the messages of src/network/forwarder.ts. All integers are little-endian. — */
/*
 *   message  u32 magic "HKFW", u16 version, u16 flags, u32 number of ports, then the ports; a descriptor attached to it
 *            for each
 *   port     u8 family 4|6, u8 protocol 6|17, u8 bits of the network's prefix, u8 zero, u16 port, u16 zero,
 *            16 bytes container's address, 16 bytes gateway's address (IPv4: the first four, the rest zero)
 * The last message has CONTROL_LAST; with CONTROL_PLAIN (the same in all) every client is shown as the gateway.
 */
#define CONTROL_MAGIC 0x57464b48u /* "HKFW" */
#define CONTROL_VERSION 1u
#define CONTROL_HEADER 12u      /* bytes */
#define CONTROL_PORT 40u        /* bytes */
#define CONTROL_PORTS 32u       /* ports of one message; SCM_MAX_FD of include/net/scm.h is 253 */
#define CONTROL_PORTS_ALL 2048u /* ports of one container: 1024 numbers, IPv4 and IPv6 */
#define CONTROL_LAST 1u
#define CONTROL_PLAIN 2u
#define CONTROL_MESSAGE (CONTROL_HEADER + CONTROL_PORTS * CONTROL_PORT)

struct address {
  uint8_t bytes[16];
};

/* One published port: a socket of the host's, and the address of the container that it leads to. */
struct port {
  int socket;
  sa_family_t family; /* family of the container's address: AF_INET, AF_INET6 */
  uint8_t protocol;   /* IPPROTO_TCP, IPPROTO_UDP */
  uint8_t prefix;     /* bits of the gateway's address that are the network's */
  in_port_t number;   /* the container's, network byte order */
  struct address container, gateway;
  uint32_t flows; /* number of flows at present */
};

/* Appends a message's ports to `ports`. Returns NULL, or why the message is refused; then nothing was appended. */
const char *control_read(const uint8_t *data, size_t length, unsigned descriptors, struct port *ports, unsigned *count,
                         unsigned *flags);

/* — confine.c: rights that a process gives up for good — */
bool keep_capabilities(uint64_t mask);
bool forbid_system_calls(void);
bool forbid_all_but_connecting(void); /* what the relay needs */

/* — worker.c — */
_Noreturn void worker_main(struct port *ports, unsigned count, bool plain, int control);

#define MAX_FLOWS_TCP 16384u     /* connections of all ports; each has two descriptors */
#define MAX_FLOWS_UDP 4096u      /* flows of all ports */
#define MAX_FLOWS_UDP_PORT 1024u /* flows of one port */
#define BUFFER (256u << 10)      /* bytes that are read at once, as many as a socket takes at once */

struct worker {
  struct port *ports;
  unsigned port_count;
  bool plain;
  int epoll;
  uint64_t now;          /* ms of CLOCK_MONOTONIC when the current events arrived */
  uint32_t tcp_capacity; /* most connections under the limit of open files */
  uint32_t udp_capacity;
};
extern struct worker worker;
extern uint8_t shared_buffer[BUFFER]; /* holds the data being moved; nothing in it outlives an event */

/*
 * What an event is about. An index may have a new meaning by the time an event of its old one is read in the same
 * batch; the generation tells the two apart.
 */
#define GENERATIONS 0xffffffu
enum kind { KIND_LISTENER = 1, KIND_TCP = 2, KIND_DATAGRAMS = 3, KIND_UDP = 4, KIND_CONTROL = 5 };
bool watch(int fd, uint32_t events, enum kind kind, uint32_t generation, uint32_t index);
bool watch_again(int fd, uint32_t events, enum kind kind, uint32_t generation, uint32_t index);

/* — far.c: the far side of a flow, a socket in the container's network — */
union name {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};
socklen_t name_length(const union name *name);
in_port_t name_port(const union name *name); /* network byte order */
void name_of(union name *name, const struct port *port, const struct address *address, in_port_t number);
bool same_name(const union name *one, const union name *other);
/*
 * Returns a socket towards the container, connecting or connected, that carries the client's address and port where it
 * can, else the gateway's address. `other_port`: the port must not be the client's. -1 and errno on failure.
 */
int far_socket(const struct port *port, const union name *client, bool other_port);

/* — tcp.c — */
void tcp_begin(void);
void tcp_accept(uint32_t port);
void tcp_event(uint32_t index, uint32_t generation, uint32_t events);
bool tcp_run_queue(void);     /* moves connections whose turn was too short; true when some have still more */
int tcp_wait(void);           /* ms until accepting is tried again; -1: not paused */

/* — udp.c — */
void udp_begin(void);
void udp_receive(uint32_t port); /* takes datagrams from clients */
void udp_event(uint32_t index, uint32_t generation); /* takes datagrams from the container */
int udp_expire(void); /* ends idle flows; returns ms until the next one is idle, -1: none */

#endif
