/*
 * The forwarder's worker: one thread, one epoll, and no memory beyond its static tables. The worker is what reads
 * strangers' bytes, and confine.c limits what it can do; when it dies, forward.c makes another, and the listening
 * sockets never close.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 64
#define SPARE 64u /* descriptors for other uses */

struct worker worker;
uint8_t shared_buffer[BUFFER];

/* bits: kind 8, generation 24, index 32 */
static struct epoll_event event_of(uint32_t events, enum kind kind, uint32_t generation, uint32_t index) {
  uint64_t about = (uint64_t)kind << 56 | (uint64_t)(generation & GENERATIONS) << 32 | index;
  return (struct epoll_event){.events = events, .data.u64 = about};
}

bool watch(int fd, uint32_t events, enum kind kind, uint32_t generation, uint32_t index) {
  struct epoll_event event = event_of(events, kind, generation, index);
  return epoll_ctl(worker.epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool watch_again(int fd, uint32_t events, enum kind kind, uint32_t generation, uint32_t index) {
  struct epoll_event event = event_of(events, kind, generation, index);
  return epoll_ctl(worker.epoll, EPOLL_CTL_MOD, fd, &event) == 0;
}

static void read_clock(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  worker.now = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* Divides the descriptors that this process may have between the two protocols. */
static bool set_capacities(void) {
  struct rlimit limit;
  bool udp = false;
  for (unsigned i = 0; i < worker.port_count; i++) udp = udp || worker.ports[i].protocol == IPPROTO_UDP;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return false;
  rlim_t open = worker.port_count + SPARE;
  if (limit.rlim_cur < 2 * open) return errno = EMFILE, false;
  rlim_t left = limit.rlim_cur - open;
  rlim_t for_udp = !udp ? 0 : left / 4 < MAX_FLOWS_UDP ? left / 4 : MAX_FLOWS_UDP;
  worker.udp_capacity = (uint32_t)for_udp;
  worker.tcp_capacity = (left - for_udp) / 2 < MAX_FLOWS_TCP ? (uint32_t)((left - for_udp) / 2) : MAX_FLOWS_TCP;
  return true;
}

/* Tells whether this namespace lets a socket carry an address that is not its own. */
static bool can_be_transparent(void) {
  int one = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool can = fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof one) == 0;
  int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  return can;
}

static bool confine(void) {
  prctl(PR_SET_NAME, "husk-forward", 0, 0, 0);
  uint64_t capabilities = worker.plain ? 0 : 1u << CAP_NET_ADMIN;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !keep_capabilities(capabilities)) return false;
  /* This comes after the change of capabilities, which undoes it. */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return false;
  return forbid_system_calls();
}

static void dispatch(const struct epoll_event *event) {
  uint32_t index = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32) & GENERATIONS;
  switch ((enum kind)(event->data.u64 >> 56)) {
  case KIND_LISTENER:
    return tcp_accept(index);
  case KIND_TCP:
    return tcp_event(index, generation, event->events);
  case KIND_DATAGRAMS:
    return udp_receive(index);
  case KIND_UDP:
    return udp_event(index, generation);
  case KIND_CONTROL:
    _exit(0);
  }
}

static int soonest(int one, int other) { return one < 0 || (other >= 0 && other < one) ? other : one; }

static _Noreturn void serve(void) {
  static struct epoll_event events[EVENTS];
  for (;;) {
    int wait = soonest(tcp_wait(), udp_expire());
    int ready = epoll_wait(worker.epoll, events, EVENTS, tcp_run_queue() ? 0 : wait);
    read_clock();
    for (int i = 0; i < ready; i++) dispatch(&events[i]);
  }
}

_Noreturn void worker_main(struct port *ports, unsigned count, bool plain, int control) {
  worker = (struct worker){.ports = ports, .port_count = count, .plain = plain, .epoll = epoll_create1(EPOLL_CLOEXEC)};
  const char *failed = NULL;
  read_clock();
  tcp_begin();
  udp_begin();
  if (worker.epoll < 0) failed = "epoll_create1";
  else if (!set_capacities()) failed = "open files";
  for (unsigned i = 0; i < count && !failed; i++) {
    enum kind kind = ports[i].protocol == IPPROTO_TCP ? KIND_LISTENER : KIND_DATAGRAMS;
    if (!watch(ports[i].socket, EPOLLIN, kind, 0, i)) failed = "epoll_ctl";
  }
  if (!failed && !plain && !can_be_transparent()) failed = "IP_TRANSPARENT";
  /* nothing that is sent there is for a worker: what it hears of is the end */
  if (!failed && !watch(control, EPOLLRDHUP, KIND_CONTROL, 0, 0)) failed = "epoll_ctl";
  if (!failed && !confine()) failed = "confine";
  forward_reply(control, failed ? errno : 0, failed ? failed : "");
  if (failed) _exit(EXIT_SETUP);
  serve();
}
