/*
 * Reports to the parent, src/launch/executor.ts. A record is one SOCK_SEQPACKET message: struct record, then up to two
 * NUL-terminated strings. The parent answers an AWAIT with one byte, 'G' (go) or anything else (give up).
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum record_type {
  RECORD_HELLO = 1, /* a process of the plan begins; its pidfd is attached; value: forks so far */
  RECORD_AWAIT = 2, /* value: the tag; a namespace is attached: of AWAIT_NETWORK the network's, of AWAIT_EXEC the mounts' */
  RECORD_PTY = 3,   /* the terminal's master is attached */
  RECORD_ERROR = 4, /* value: enum detail; strings: the call, the path */
  RECORD_EXEC = 5,  /* execve or _exit is next: end-of-file now means that it has happened */
  RECORD_SOCKETS = 6, /* value: the mask of kinds (plan.h); one descriptor for each is attached, in the order of the bits */
};

struct record {
  uint32_t type;
  uint32_t step;
  uint32_t opcode;
  int32_t error;
  uint32_t value;
};

#define EXIT_FAILED 125
/* AWAIT_TAGS of src/launch/encoding.ts */
#define AWAIT_NETWORK 2u
#define AWAIT_EXEC 3u

/*
 * Sends a record without a descriptor by write(2), which makes a message as well and which no seccomp profile forbids:
 * after `seccomp` the container's profile is in force here. When the parent is gone, SIGPIPE ends this process, as it
 * should.
 */
static bool write_record(const struct run *run, const struct record *record, const char *call, const char *path) {
  static char message[sizeof *record + 64 + 4096];
  const char *strings[2] = {call ? call : "", path ? path : ""};
  size_t length = sizeof *record;
  memcpy(message, record, sizeof *record);
  for (unsigned i = 0; i < 2; i++) {
    size_t have = strnlen(strings[i], i == 0 ? 63 : 4095);
    memcpy(message + length, strings[i], have);
    message[length + have] = 0;
    length += have + 1;
  }
  ssize_t written;
  do written = write(run->control, message, length);
  while (written < 0 && errno == EINTR);
  return written >= 0;
}

static bool send_record(const struct run *run, const struct record *record, const int *fds, unsigned count) {
  struct iovec part = {(void *)(uintptr_t)record, sizeof *record};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(SOCKET_KINDS * sizeof(int))];
  } rights;
  memset(&rights, 0, sizeof rights);
  size_t bytes = count * sizeof *fds;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = CMSG_SPACE(bytes)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(bytes);
  memcpy(CMSG_DATA(header), fds, bytes);
  ssize_t sent;
  do sent = sendmsg(run->control, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

static struct record record_of(const struct run *run, enum record_type type, uint32_t value) {
  return (struct record){.type = (uint32_t)type, .step = run->index, .opcode = run->step.opcode, .value = value};
}

_Noreturn void fail_with(struct run *run, int error, enum detail detail, const char *call, const char *path) {
  struct record record = record_of(run, RECORD_ERROR, (uint32_t)detail);
  record.error = error;
  (void)write_record(run, &record, call, path);
  _exit(EXIT_FAILED);
}

_Noreturn void fail(struct run *run, const char *call, const char *path) { fail_with(run, errno, DETAIL_NONE, call, path); }

static void tell_with(struct run *run, enum record_type type, uint32_t value, const int *fds, unsigned count) {
  struct record record = record_of(run, type, value);
  /* When the parent is gone there is no one to report to. */
  if (!(count == 0 ? write_record(run, &record, NULL, NULL) : send_record(run, &record, fds, count))) _exit(EXIT_FAILED);
}

static void tell(struct run *run, enum record_type type, uint32_t value, int fd) { tell_with(run, type, value, &fd, fd < 0 ? 0 : 1); }

void tell_hello(struct run *run) {
  /* A pidfd of the process itself cannot race with pid reuse, and means the same process in every pid namespace. */
  int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
  /* A reaper's child begins under the seccomp filter; its pidfd is not needed. */
  if (self < 0 && run->step.opcode == OP_REAPER) return;
  if (self < 0) fail(run, "pidfd_open", NULL);
  tell(run, RECORD_HELLO, run->forks, self);
  close(self);
}

void tell_exec(struct run *run) { tell(run, RECORD_EXEC, 0, -1); }

void tell_pty(struct run *run, int master) { tell(run, RECORD_PTY, 0, master); }

void tell_sockets(struct run *run, uint32_t kinds, const int *fds, unsigned count) { tell_with(run, RECORD_SOCKETS, kinds, fds, count); }

/*
 * Opens the namespace that goes with a tag. A hidden process cannot show its namespaces by /proc/PID/ns, not even to
 * the user who started it: it passes on the network's, and before the command runs the mounts', by which the processes
 * that the container leaves behind are found. The parent checks the descriptor, because /proc is the container's by
 * then.
 */
static int namespace_for(uint32_t tag) {
  if (tag == AWAIT_NETWORK) return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (tag == AWAIT_EXEC) return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  return -1;
}

void await_parent(struct run *run, uint32_t tag) {
  int namespace = namespace_for(tag);
  tell(run, RECORD_AWAIT, tag, namespace);
  if (namespace >= 0) close(namespace);
  char answer = 0;
  ssize_t got;
  do got = read(run->control, &answer, 1);
  while (got < 0 && errno == EINTR);
  if (got != 1 || answer != 'G') _exit(EXIT_FAILED);
}
