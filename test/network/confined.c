/*
 * Puts the filter of the forwarder's worker (guest/net/confine.c) on itself, or with a second argument the relay's, makes one
 * call, named by its first, and ends with status 0 when it came back. For test/network/confine.test.ts.
 */
#define _GNU_SOURCE
#include "../../guest/net/net.h"

#include <fcntl.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fd, one = 1;
static char buffer[16];

static long make_socket(int family, int type) { return syscall(SYS_socket, family, type, 0); }
static long option(int level, int name) { return syscall(SYS_setsockopt, fd, level, name, &one, sizeof one); }

/* getpid(2) of i386 is clock-free and harmless: only the architecture is wrong */
static void call_i386(void) {
  long result = 20;
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
  syscall(SYS_exit_group, 0);
}

static void attempt(const char *call) {
  const int stream = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, datagrams = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
#define CASE(name, expression) \
  if (strcmp(call, name) == 0) { \
    (void)!(expression); \
    syscall(SYS_exit_group, 0); \
  }
  CASE("nothing", 0)
  CASE("tcp", make_socket(AF_INET, stream))
  CASE("tcp6", make_socket(AF_INET6, stream))
  CASE("udp", make_socket(AF_INET, datagrams))
  CASE("udp6", make_socket(AF_INET6, datagrams))
  CASE("recv", syscall(SYS_recvfrom, fd, buffer, 1, MSG_DONTWAIT, 0, 0))
  CASE("send", syscall(SYS_sendto, fd, buffer, 1, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0))
  CASE("close", syscall(SYS_close, 100))
  CASE("clock", syscall(SYS_clock_gettime, 1, buffer))
  CASE("transparent", option(IPPROTO_IP, IP_TRANSPARENT))
  CASE("transparent6", option(IPPROTO_IPV6, IPV6_TRANSPARENT))
  CASE("linger", option(SOL_SOCKET, SO_LINGER))
  CASE("nodelay", option(IPPROTO_TCP, TCP_NODELAY))
  CASE("netlink", make_socket(AF_NETLINK, SOCK_RAW))
  CASE("netlink datagrams", make_socket(AF_NETLINK, datagrams))
  CASE("unix", make_socket(AF_UNIX, stream))
  CASE("raw", make_socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC))
  CASE("packet", make_socket(AF_PACKET, datagrams))
  CASE("blocking", make_socket(AF_INET, SOCK_STREAM))
  CASE("mark", option(SOL_SOCKET, SO_MARK))
  CASE("device", option(SOL_SOCKET, SO_BINDTODEVICE))
  CASE("filter", option(SOL_SOCKET, SO_ATTACH_FILTER))
  CASE("packet filters", option(IPPROTO_IP, IPT_SO_SET_REPLACE))
  CASE("packet filters 6", option(IPPROTO_IPV6, IPT_SO_SET_REPLACE))
  CASE("repair", option(IPPROTO_TCP, TCP_REPAIR))
  CASE("raw level", option(IPPROTO_RAW, SO_REUSEADDR))
  CASE("open", syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY))
  CASE("look up", syscall(SYS_openat, AT_FDCWD, "/", O_PATH | O_NOFOLLOW | O_CLOEXEC))
  CASE("follow", syscall(SYS_openat, AT_FDCWD, "/", O_PATH | O_CLOEXEC))
  CASE("cut off", syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_TRUNC | O_CLOEXEC))
  CASE("unix datagrams", make_socket(AF_UNIX, datagrams))
  CASE("unix blocking", make_socket(AF_UNIX, SOCK_STREAM))
  CASE("hand over", syscall(SYS_sendmsg, fd, 0, MSG_DONTWAIT | MSG_NOSIGNAL))
  CASE("connect", syscall(SYS_connect, fd, 0, 0))
  CASE("read", syscall(SYS_read, fd, buffer, 1))
  CASE("write", syscall(SYS_write, fd, buffer, 1))
  CASE("mmap", syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
  CASE("mprotect", syscall(SYS_mprotect, 0, 4096, PROT_EXEC))
  CASE("fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
  CASE("execve", syscall(SYS_execve, "/bin/true", 0, 0))
  CASE("ioctl", syscall(SYS_ioctl, fd, 0, 0))
  CASE("listen", syscall(SYS_listen, fd, 1))
  CASE("kill", syscall(SYS_kill, getppid(), 0))
  CASE("ptrace", syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))
  CASE("setns", syscall(SYS_setns, fd, 0))
  CASE("unshare", syscall(SYS_unshare, 0))
  CASE("prctl", syscall(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0))
  CASE("x32", syscall(0x40000000 | SYS_recvfrom, fd, buffer, 1, MSG_DONTWAIT, 0, 0))
  if (strcmp(call, "i386") == 0) call_i386();
  syscall(SYS_exit_group, 3);
}

int main(int argc, char **argv) {
  fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (argc < 2 || argc > 3 || fd < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return 2;
  if (strcmp(argv[1], "i386 before") == 0) call_i386();
  if (argc == 3 && strcmp(argv[2], "relay") == 0 ? !forbid_all_but_connecting() : !forbid_system_calls()) return 2;
  attempt(argv[1]);
}
