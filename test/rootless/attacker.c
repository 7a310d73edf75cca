/*
 * What a hostile container would try on its siblings and on the user namespace around all of them; one line for each
 * attempt with how it ended. Run as root of a container with every capability and no filter.
 *   attacker siblings SIBLING HOLDER FD   SIBLING: a process of another container; HOLDER's FD: the namespace around them
 *   attacker inherited                    descriptor 0 is the namespace around all
 *   attacker give FILE                    makes a user namespace, and as its root gives FILE every capability
 *   attacker capabilities                 says which it has
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *what, long result) { printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done"); }

static int at(const char *what, const char *format, int pid, int fd, int flags) {
  char path[64];
  snprintf(path, sizeof path, format, pid, fd);
  int opened = open(path, flags);
  say(what, opened);
  return opened;
}

static void siblings(int sibling, int holder, int fd) {
  int own = open("/proc/self/ns/user", O_RDONLY);
  say("parent of its own", ioctl(own, NS_GET_PARENT));
  at("the holder's descriptor", "/proc/%d/fd/%d", holder, fd, O_RDONLY);
  int holder_fd = (int)syscall(SYS_pidfd_open, holder, 0);
  say("the holder's descriptor by pidfd", syscall(SYS_pidfd_getfd, holder_fd, fd, 0));
  at("the sibling's namespace", "/proc/%d/ns/user", sibling, 0, O_RDONLY);
  at("the sibling's root", "/proc/%d/root", sibling, 0, O_RDONLY);
  at("the sibling's memory", "/proc/%d/mem", sibling, 0, O_RDWR);
  int map = at("the sibling's map opened", "/proc/%d/uid_map", sibling, 0, O_WRONLY);
  if (map >= 0) say("the sibling's map written", write(map, "0 0 1", 5));
  int sibling_fd = (int)syscall(SYS_pidfd_open, sibling, 0);
  say("setns of the sibling's user namespace", setns(sibling_fd, CLONE_NEWUSER));
  say("setns of the sibling's network", setns(sibling_fd, CLONE_NEWNET));
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
  say("process_vm_readv", process_vm_readv(sibling, &here, 1, &there, 1, 0));
  say("ptrace", ptrace(PTRACE_SEIZE, sibling, NULL, NULL));
}

static void inherited(void) {
  say("parent of what was inherited", ioctl(0, NS_GET_PARENT));
  say("setns of what was inherited", setns(0, CLONE_NEWUSER));
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) say(path, -1);
  close(fd);
}

static void give(const char *file) {
  char map[32];
  struct vfs_cap_data all = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, .data = {{~0u, 0}, {~0u, 0}}};
  unsigned uid = getuid(), gid = getgid();
  if (unshare(CLONE_NEWUSER) < 0) return say("unshare", -1);
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "0 %u 1", uid);
  write_file("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "0 %u 1", gid);
  write_file("/proc/self/gid_map", map);
  say("given", setxattr(file, "security.capability", &all, XATTR_CAPS_SZ_2, 0));
}

static void capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  syscall(SYS_capget, &header, data);
  printf("capabilities: %s\n", data[0].effective ? "some" : "none");
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "siblings") == 0) siblings(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
  else if (argc == 2 && strcmp(argv[1], "inherited") == 0) inherited();
  else if (argc == 3 && strcmp(argv[1], "give") == 0) give(argv[2]);
  else if (argc == 2 && strcmp(argv[1], "capabilities") == 0) capabilities();
  else return 2;
  return 0;
}
