/*
 * Gives up rights for good: capabilities, and every system call but those that carrying bytes needs. The forwarder's
 * worker reads what strangers and containers send, so this file limits what a fault in it could do: move bytes between
 * sockets of its own namespace.
 */
#define _GNU_SOURCE
#include "net.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

bool keep_capabilities(uint64_t mask) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}, {0}};
  for (unsigned half = 0; half < 2; half++) {
    data[half].permitted = (uint32_t)(mask >> (32 * half));
    data[half].effective = data[half].permitted;
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return syscall(SYS_capset, &header, data) == 0;
}

#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* An argument that the kernel takes as an int is the low half of 64 bits, little-endian. */
#define LOAD_ARGUMENT(index) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (index))
/* When the loaded value is `value` the next instruction runs, else `skip` instructions are skipped. */
#define IF(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (skip))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), (skip), 0)
#define PERMIT(call) IF(SYS_##call, 1), ALLOW
#define OPTION(level, name) LOAD_ARGUMENT(1), IF(level, 3), LOAD_ARGUMENT(2), IF(name, 1), ALLOW
#define OPTION_LENGTH 5 /* instructions */

/* Puts a filter on this process for good. */
static bool install(struct sock_filter *filter, size_t length) {
#ifdef HUSK_UNCONFINED
  (void)filter, (void)length;
  return true; /* a sanitizer makes other calls */
#else
  struct sock_fprog program = {.len = (unsigned short)length, .filter = filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
#endif
}
#define INSTALL(filter) install(filter, sizeof filter / sizeof *filter)

bool forbid_system_calls(void) {
  static struct sock_filter filter[] = {
    LOAD(arch),
    UNLESS(AUDIT_ARCH_X86_64, 1),
    KILL,
    LOAD(nr), /* the numbers of x32 have a bit of their own and match none of these */
    PERMIT(epoll_wait),
    PERMIT(epoll_pwait),
    PERMIT(recvfrom),
    PERMIT(sendto),
    PERMIT(recvmsg),
    PERMIT(sendmsg),
    PERMIT(accept4),
    PERMIT(epoll_ctl),
    PERMIT(bind),
    PERMIT(connect),
    PERMIT(getsockopt),
    PERMIT(shutdown),
    PERMIT(close),
    PERMIT(clock_gettime),
    PERMIT(rt_sigreturn),
    PERMIT(restart_syscall),
    PERMIT(exit_group),
    /* Sockets must be of IP, so that none configures a network: CAP_NET_ADMIN is held for IP_TRANSPARENT alone. */
    IF(SYS_socket, 9),
    LOAD_ARGUMENT(0),
    UNLESS(AF_INET, 2),
    UNLESS(AF_INET6, 1),
    KILL,
    LOAD_ARGUMENT(1),
    UNLESS(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 2),
    UNLESS(SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 1),
    KILL,
    ALLOW,
    /* The same capability would allow packet filters (IPT_SO_SET_REPLACE), marks and TCP_REPAIR. */
    IF(SYS_setsockopt, 10 * OPTION_LENGTH),
    OPTION(SOL_SOCKET, SO_REUSEADDR),
    OPTION(SOL_SOCKET, SO_LINGER),
    OPTION(SOL_SOCKET, SO_KEEPALIVE),
    OPTION(IPPROTO_TCP, TCP_NODELAY),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    OPTION(IPPROTO_IP, IP_TRANSPARENT),
    OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT),
    OPTION(IPPROTO_IPV6, IPV6_TRANSPARENT),
    KILL,
  };
  return INSTALL(filter);
}

bool forbid_all_but_connecting(void) {
  static struct sock_filter filter[] = {
    LOAD(arch),
    UNLESS(AUDIT_ARCH_X86_64, 1),
    KILL,
    LOAD(nr),
    PERMIT(poll),
    PERMIT(recvmsg),
    PERMIT(sendmsg),
    PERMIT(connect),
    PERMIT(shutdown),
    PERMIT(close),
    PERMIT(clock_gettime),
    PERMIT(setresuid),
    PERMIT(setresgid),
    PERMIT(rt_sigreturn),
    PERMIT(restart_syscall),
    PERMIT(exit_group),
    /* A descriptor that only names what it is of: nothing can be read, written, made or cut off by it. */
    IF(SYS_openat, 4),
    LOAD_ARGUMENT(2),
    UNLESS(O_PATH | O_NOFOLLOW | O_CLOEXEC, 1),
    KILL,
    ALLOW,
    IF(SYS_socket, 7),
    LOAD_ARGUMENT(0),
    UNLESS(AF_UNIX, 1),
    KILL,
    LOAD_ARGUMENT(1),
    UNLESS(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 1),
    KILL,
    ALLOW,
    KILL,
  };
  return INSTALL(filter);
}
