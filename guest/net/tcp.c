/*
 * TCP: a connection is two sockets, and what one side sends goes to the other. recv(2) and send(2) use one buffer that
 * all connections share; data that a side has no room for waits in one of a few more buffers. When all of those are in
 * use, data is only peeked at (MSG_PEEK), and taken once it is sent: slower, but no peer can make this process grow.
 *
 * Readiness is edge-triggered, so a connection is moved until there is no more data, or until its turn is over; then it
 * waits in a queue here, because the kernel will not report it again. Reading less than was asked for means that there
 * is no more data (epoll(7)), except where an end or an urgent byte is in the way: the kernel reports those, and the
 * socket is then read to EAGAIN.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFERS 32u      /* for data that waits: 8 MiB in all, which is memory only once it is used */
#define NONE UINT32_MAX
#define TURN 8           /* buffers moved in one direction before another connection has its turn: 2 MiB */
#define ACCEPTS 64       /* connections of one port that are accepted before the others have their turn */
#define TRY_AGAIN 1000u  /* ms until accepting is tried again, when it failed for lack of descriptors or memory */
#define KEEPALIVE_IDLE 60 /* s; a client that vanished is noticed two minutes after its last data */
#define KEEPALIVE_INTERVAL 15
#define KEEPALIVE_COUNT 4

enum side { CLIENT, CONTAINER };
#define BOTH (1u << CLIENT | 1u << CONTAINER)

/* Data from the side of the index to the other side. */
struct direction {
  uint32_t buffer, from, to; /* what waits: bytes from…to of a buffer; NONE: nothing */
  bool ended;                /* the side has sent everything */
  bool closed;               /* and the other side has been shut down for it */
  bool blocked;              /* the other side had no room for all */
  bool to_the_end;           /* the side must be read until EAGAIN */
};

struct connection {
  int fd[2]; /* -1: the slot is free */
  struct direction direction[2];
  uint32_t generation, port, next; /* next: of the free slots, or of the queue */
  bool connecting, queued, broken;
};

static struct connection connections[MAX_FLOWS_TCP];
static uint8_t buffers[BUFFERS][BUFFER];
static uint32_t free_buffers[BUFFERS], free_buffer_count;
static uint32_t free_first, open_count, queue_first, queue_last;
static uint64_t paused_until;
static bool paused;

void tcp_begin(void) {
  for (uint32_t i = 0; i < BUFFERS; i++) free_buffers[i] = BUFFERS - 1 - i;
  free_buffer_count = BUFFERS;
  queue_first = queue_last = free_first = NONE;
}

static uint32_t never_used;

/* Returns a free slot; used ones come first, so that the table takes no more memory than it must. */
static uint32_t take_slot(void) {
  uint32_t index = free_first;
  if (index == NONE) return never_used < MAX_FLOWS_TCP ? never_used++ : NONE;
  free_first = connections[index].next;
  return index;
}

/*
 * Tells whether a port may have no further connection. It may have only a part of all, so that a flood of one port
 * leaves room for the others.
 */
static bool is_full(const struct port *port) {
  uint32_t most = worker.port_count > 1 ? worker.tcp_capacity - worker.tcp_capacity / 4 : worker.tcp_capacity;
  return open_count >= worker.tcp_capacity || port->flows >= most;
}

static void listen_for(uint32_t events) {
  for (uint32_t i = 0; i < worker.port_count; i++)
    if (worker.ports[i].protocol == IPPROTO_TCP) (void)watch_again(worker.ports[i].socket, events, KIND_LISTENER, 0, i);
}

/* Stops accepting for a while; clients wait in the backlogs of the listening sockets. */
static void pause_accepting(void) {
  if (!paused) listen_for(0);
  paused = true;
  paused_until = worker.now + TRY_AGAIN;
}

static void go_on_accepting(void) {
  if (paused) listen_for(EPOLLIN);
  paused = false;
}

int tcp_wait(void) {
  if (paused && paused_until <= worker.now) go_on_accepting();
  return paused ? (int)(paused_until - worker.now) : -1;
}

static void release_buffer(struct direction *direction) {
  if (direction->buffer != NONE) free_buffers[free_buffer_count++] = direction->buffer;
  direction->buffer = NONE;
}

/* Ends a connection; a reset is passed on as a reset. */
static void end(struct connection *connection, bool reset) {
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  for (enum side side = CLIENT; side <= CONTAINER; side++) {
    if (reset) (void)setsockopt(connection->fd[side], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection->fd[side]);
    connection->fd[side] = -1;
    release_buffer(&connection->direction[side]);
  }
  connection->generation = (connection->generation + 1) & GENERATIONS;
  worker.ports[connection->port].flows--;
  open_count--;
  /* A queued connection is freed when the queue is run, and its slot is not free until then. */
  if (!connection->queued) {
    connection->next = free_first;
    free_first = (uint32_t)(connection - connections);
  }
  go_on_accepting();
}

static void enqueue(struct connection *connection) {
  uint32_t index = (uint32_t)(connection - connections);
  if (connection->queued) return;
  connection->queued = true;
  connection->next = NONE;
  if (queue_last == NONE) queue_first = index;
  else connections[queue_last].next = index;
  queue_last = index;
}

/* Sends what waits; false: the connection is broken. The rest goes when the other side is writable again. */
static bool send_waiting(struct direction *direction, int to) {
  while (direction->buffer != NONE) {
    const uint8_t *rest = buffers[direction->buffer] + direction->from;
    ssize_t sent = send(to, rest, direction->to - direction->from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    direction->from += (uint32_t)sent;
    if (direction->from == direction->to) release_buffer(direction);
  }
  return true;
}

static void keep_waiting(struct direction *direction, const uint8_t *data, size_t length) {
  direction->buffer = free_buffers[--free_buffer_count];
  direction->from = 0;
  direction->to = (uint32_t)length;
  memcpy(buffers[direction->buffer], data, length);
}

enum outcome { BLOCKED, MORE, BROKEN };

/* Moves one buffer's worth of data. */
static enum outcome move_once(struct direction *direction, int from, int to) {
  bool look = free_buffer_count == 0;
  direction->blocked = false;
  ssize_t got = recv(from, shared_buffer, BUFFER, MSG_DONTWAIT | (look ? MSG_PEEK : 0));
  if (got < 0) return errno == EAGAIN ? BLOCKED : BROKEN;
  if (got == 0) {
    direction->ended = direction->closed = true;
    (void)shutdown(to, SHUT_WR);
    return BLOCKED;
  }
  ssize_t sent = send(to, shared_buffer, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return BROKEN;
  if (sent < 0) sent = 0;
  /* MSG_TRUNC takes the data without copying it, tcp(7). */
  if (look && sent > 0 && recv(from, NULL, (size_t)sent, MSG_DONTWAIT | MSG_TRUNC) != sent) return BROKEN;
  if (sent == got) return got == BUFFER || direction->to_the_end ? MORE : BLOCKED;
  direction->blocked = true;
  if (!look) keep_waiting(direction, shared_buffer + sent, (size_t)(got - sent));
  return BLOCKED;
}

/* Moves what one side has sent, until the other has no room or the turn is over. */
static enum outcome move(struct connection *connection, enum side side) {
  struct direction *direction = &connection->direction[side];
  int from = connection->fd[side], to = connection->fd[!side];
  if (!send_waiting(direction, to)) return BROKEN;
  if (direction->buffer != NONE) return BLOCKED;
  for (int turn = 0; turn < TURN && !direction->ended; turn++) {
    enum outcome outcome = move_once(direction, from, to);
    if (outcome != MORE) return outcome;
  }
  return direction->ended ? BLOCKED : MORE;
}

/* Moves data both ways. `from`: the sides whose data is to be moved, as bits. */
static void run(struct connection *connection, unsigned from) {
  if (connection->connecting) return;
  enum outcome to_container = from & 1u << CLIENT ? move(connection, CLIENT) : BLOCKED;
  enum outcome to_client = from & 1u << CONTAINER ? move(connection, CONTAINER) : BLOCKED;
  if (to_container == BROKEN || to_client == BROKEN) end(connection, true);
  else if (connection->direction[CLIENT].closed && connection->direction[CONTAINER].closed) end(connection, false);
  else if (to_container == MORE || to_client == MORE) enqueue(connection);
  else if (connection->broken) end(connection, true);
}

bool tcp_run_queue(void) {
  uint32_t last = queue_last;
  while (queue_first != NONE) {
    uint32_t index = queue_first;
    struct connection *connection = &connections[index];
    queue_first = connection->next;
    if (queue_first == NONE) queue_last = NONE;
    connection->queued = false;
    if (connection->fd[CLIENT] >= 0) {
      run(connection, BOTH);
    } else {
      connection->next = free_first;
      free_first = index;
    }
    if (index == last) break; /* connections that came meanwhile have their turn after the kernel's events */
  }
  return queue_first != NONE;
}

/* Tells whether a socket has an error, which ends its connection; reading the error clears it. */
static bool has_failed(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0;
}

void tcp_event(uint32_t index, uint32_t generation, uint32_t events) {
  enum side side = index & 1;
  if (index / 2 >= MAX_FLOWS_TCP) return;
  struct connection *connection = &connections[index / 2];
  if (connection->fd[CLIENT] < 0 || connection->generation != generation) return;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) connection->direction[side].to_the_end = true;
  if (side == CONTAINER && connection->connecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    if (has_failed(connection->fd[CONTAINER])) return end(connection, true);
    connection->connecting = false;
    return run(connection, BOTH);
  }
  if (events & EPOLLERR) {
    /* A reset: data sent before it is still passed on, then the reset itself. */
    if (connection->connecting) return end(connection, true);
    connection->broken = true;
  }
  /* A socket with an event is nearly always writable too, which matters only when data waits for it. */
  unsigned from = 1u << side | (connection->direction[!side].blocked ? 1u << !side : 0);
  run(connection, connection->broken ? BOTH : from);
}

static void set_up(int fd) {
  const struct {
    int level, name, value;
  } options[] = {
    {IPPROTO_TCP, TCP_NODELAY, 1},
    {SOL_SOCKET, SO_KEEPALIVE, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL},
    {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
  };
  for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
    (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

/* Refuses a client, which looks like the container's own refusal. */
static void refuse(int client) {
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(client);
}

static void begin(uint32_t port, int client, int container, uint32_t index) {
  struct connection *connection = &connections[index];
  uint32_t generation = connection->generation;
  *connection = (struct connection){.fd = {client, container}, .generation = generation, .port = port};
  connection->connecting = true;
  connection->direction[CLIENT].buffer = connection->direction[CONTAINER].buffer = NONE;
  worker.ports[port].flows++;
  open_count++;
  set_up(client);
  set_up(container);
  const uint32_t edges = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  for (enum side side = CLIENT; side <= CONTAINER; side++)
    if (!watch(connection->fd[side], edges, KIND_TCP, generation, 2 * index + side)) return end(connection, true);
}

static bool is_exhausted(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void tcp_accept(uint32_t port) {
  for (int accepted = 0; accepted < ACCEPTS; accepted++) {
    union name name;
    socklen_t length = sizeof name;
    memset(&name, 0, sizeof name);
    if (is_full(&worker.ports[port])) return pause_accepting();
    int client = accept4(worker.ports[port].socket, &name.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0 && is_exhausted(errno)) return pause_accepting();
    if (client < 0 && errno == EAGAIN) return;
    if (client < 0) continue; /* the client is gone already: accept(2) names a dozen errors for it */
    int container = far_socket(&worker.ports[port], &name, false);
    uint32_t index = container < 0 ? NONE : take_slot();
    if (index != NONE) {
      begin(port, client, container, index);
      continue;
    }
    bool exhausted = container < 0 && is_exhausted(errno);
    if (container >= 0) close(container);
    refuse(client);
    if (exhausted) return pause_accepting();
  }
}
