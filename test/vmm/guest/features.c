/*
 * Asks the running kernel for what images need, by doing it: guest/kernel-config/husk.config is only a wish. Prints
 * "kernel: ok NAME" or "kernel: FAIL NAME: why".
 */
#define _GNU_SOURCE
#include "features.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* The child's errno is its exit status; 0 is success. */
static void in_child(const char *name, int (*work)(long), long argument) {
  pid_t pid = fork();
  if (pid == 0) _exit(work(argument) == 0 ? 0 : errno ? errno : 255);
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) printf("kernel: ok %s\n", name);
  else printf("kernel: FAIL %s: %s\n", name, WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "killed");
}

static int namespace(long flag) { return unshare((int)flag); }

static int user_namespace(long uid) {
  if (setgid((gid_t)uid) != 0 || setuid((uid_t)uid) != 0) return -1;
  return unshare(CLONE_NEWUSER);
}

static int cgroup(long unused) {
  (void)unused;
  static const char *const CONTROLLERS[] = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"};
  char text[256] = " ";
  mkdir("/cgroup", 0755);
  if (mount("cgroup", "/cgroup", "cgroup2", 0, NULL) != 0) return -1;
  int fd = open("/cgroup/cgroup.controllers", O_RDONLY);
  if (fd < 0) return -1;
  ssize_t n = read(fd, text + 1, sizeof text - 3);
  if (n < 0) return -1;
  text[n] = ' '; /* over the line's end */
  errno = ENOENT;
  for (size_t i = 0; i < sizeof CONTROLLERS / sizeof *CONTROLLERS; i++) {
    char word[32];
    snprintf(word, sizeof word, " %s ", CONTROLLERS[i]);
    if (strstr(text, word) == NULL) { printf("kernel: no controller %s\n", CONTROLLERS[i]); return -1; }
  }
  static const char *const FILES[] = {"cpu.max", "memory.swap.max", "io.max", "io.weight", "pids.max", "cpuset.cpus", "cgroup.freeze", "cgroup.kill", "memory.oom.group"};
  if (mkdir("/cgroup/a", 0755) != 0) return -1;
  fd = open("/cgroup/cgroup.subtree_control", O_WRONLY);
  if (fd < 0 || write(fd, "+cpu +memory +io +pids +cpuset", 30) != 30) return -1;
  for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
    snprintf(text, sizeof text, "/cgroup/a/%s", FILES[i]);
    if (access(text, W_OK) != 0) { printf("kernel: no %s\n", text); return -1; }
  }
  return 0;
}

static int overlay(long unused) {
  (void)unused;
  mkdir("/over", 0755);
  if (mount("over", "/over", "tmpfs", 0, NULL) != 0) return -1;
  mkdir("/over/l", 0755), mkdir("/over/u", 0755), mkdir("/over/w", 0755), mkdir("/over/m", 0755);
  if (mount("over", "/over/m", "overlay", 0, "lowerdir=/over/l,upperdir=/over/u,workdir=/over/w") != 0) return -1;
  return mkdir("/over/m/new", 0755) == 0 && access("/over/u/new", F_OK) == 0 ? 0 : -1;
}

/* @param block_size bytes */
static int erofs(long block_size) {
  struct statvfs info;
  mkdir("/erofs", 0755);
  if (mount("/dev/vda", "/erofs", "erofs", MS_RDONLY, NULL) != 0 || statvfs("/erofs", &info) != 0) return -1;
  errno = EINVAL;
  return (long)info.f_bsize == block_size && access("/erofs/hello", R_OK) == 0 ? 0 : -1;
}

static int ext4(long unused) {
  (void)unused;
  mkdir("/ext4", 0755);
  return mount("/dev/vdb", "/ext4", "ext4", 0, NULL) != 0 || mkdir("/ext4/new", 0755) != 0 || umount("/ext4") != 0 ? -1 : 0;
}

static size_t attribute(char *at, uint16_t type, const void *data, size_t length) {
  struct nlattr head = {.nla_len = (uint16_t)(sizeof head + length), .nla_type = type};
  memset(at, 0, NLA_ALIGN(head.nla_len));
  memcpy(at, &head, sizeof head);
  memcpy(at + sizeof head, data, length);
  return NLA_ALIGN(head.nla_len);
}

static size_t message(char *at, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource, const char *body, size_t length) {
  struct nlmsghdr head = {.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + sizeof(struct nfgenmsg) + length), .nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags), .nlmsg_seq = 1};
  struct nfgenmsg extra = {.nfgen_family = family, .res_id = (uint16_t)(resource << 8 | resource >> 8)};
  memcpy(at, &head, sizeof head);
  memcpy(at + NLMSG_HDRLEN, &extra, sizeof extra);
  memcpy(at + NLMSG_HDRLEN + sizeof extra, body, length);
  return NLMSG_ALIGN(head.nlmsg_len);
}

/*
 * A table with a NAT chain: what `nft add table inet t; nft add chain inet t c '{ type nat hook postrouting priority
 * 100; }'` sends.
 */
static int nftables(long unused) {
  (void)unused;
  char table[64], chain[128], hook[32], all[512];
  size_t n = attribute(table, NFTA_TABLE_NAME, "t", 2);
  size_t hook_length = attribute(hook, NFTA_HOOK_HOOKNUM, &(uint32_t){__builtin_bswap32(NF_INET_POST_ROUTING)}, 4);
  hook_length += attribute(hook + hook_length, NFTA_HOOK_PRIORITY, &(uint32_t){__builtin_bswap32(100)}, 4);
  size_t m = attribute(chain, NFTA_CHAIN_TABLE, "t", 2);
  m += attribute(chain + m, NFTA_CHAIN_NAME, "c", 2);
  m += attribute(chain + m, NFTA_CHAIN_HOOK | NLA_F_NESTED, hook, hook_length);
  m += attribute(chain + m, NFTA_CHAIN_TYPE, "nat", 4);
  size_t length = message(all, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, NULL, 0);
  length += message(all + length, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET, 0, table, n);
  length += message(all + length, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK, NFPROTO_INET, 0, chain, m);
  length += message(all + length, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, NULL, 0);
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (fd < 0 || sendto(fd, all, length, 0, (struct sockaddr *)&kernel, sizeof kernel) != (ssize_t)length) return -1;
  ssize_t got = recv(fd, all, sizeof all, 0);
  struct nlmsghdr head;
  struct nlmsgerr answer;
  if (got < (ssize_t)(NLMSG_HDRLEN + sizeof answer.error)) return -1;
  memcpy(&head, all, sizeof head);
  memcpy(&answer.error, all + NLMSG_HDRLEN, sizeof answer.error);
  errno = head.nlmsg_type == NLMSG_ERROR ? -answer.error : EBADMSG;
  return errno == 0 ? 0 : -1;
}

static int tun(long flags) {
  int fd = open("/dev/net/tun", O_RDWR);
  struct ifreq request = {.ifr_flags = (short)flags};
  return fd < 0 ? -1 : ioctl(fd, TUNSETIFF, &request);
}

static int io_uring(long unused) {
  (void)unused;
  struct io_uring_params parameters = {0};
  return syscall(SYS_io_uring_setup, 4, &parameters) < 0 ? -1 : 0;
}

static int seccomp(long unused) {
  (void)unused;
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = 1, .filter = &allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static int bpf(long type) {
  struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1}, {.code = BPF_JMP | BPF_EXIT}};
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = (uint32_t)type;
  attributes.insns = (uintptr_t)code;
  attributes.insn_cnt = 2;
  attributes.license = (uintptr_t) "GPL";
  return syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes) < 0 ? -1 : 0;
}

/* An ELF of the 386 (System V ABI, i386): exit(42) by int 0x80. */
static int program_32(long status) {
  static const unsigned char PROGRAM[] = {
    0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1, 0, 0, 0, 0x54, 0x80, 0x04, 0x08, 52, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x80, 0x04, 0x08, 0x00, 0x80, 0x04, 0x08, 96, 0, 0, 0, 96, 0, 0, 0, 5, 0, 0, 0, 0x00, 0x10, 0, 0,
    0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80,
  };
  int fd = open("/program-32", O_CREAT | O_WRONLY | O_TRUNC, 0755);
  if (fd < 0 || write(fd, PROGRAM, sizeof PROGRAM) != (ssize_t)sizeof PROGRAM || close(fd) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    execl("/program-32", "program-32", (char *)NULL);
    _exit(errno);
  }
  int got = 0;
  waitpid(pid, &got, 0);
  errno = ENOEXEC;
  return WIFEXITED(got) && WEXITSTATUS(got) == status ? 0 : -1;
}

static int device(long name) { return open((const char *)name, O_RDWR) < 0 ? -1 : 0; }

void features(void) {
  static const struct { const char *name; int flag; } NAMESPACES[] = {{"mount", CLONE_NEWNS}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC}, {"pid", CLONE_NEWPID}, {"network", CLONE_NEWNET}, {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME}};
  char name[64];
  for (size_t i = 0; i < sizeof NAMESPACES / sizeof *NAMESPACES; i++) {
    snprintf(name, sizeof name, "namespace %s", NAMESPACES[i].name);
    in_child(name, namespace, NAMESPACES[i].flag);
  }
  in_child("namespace user, by an ordinary user", user_namespace, 1000);
  in_child("cgroup v2 with all controllers", cgroup, 0);
  in_child("overlay", overlay, 0);
  in_child("erofs, 512-byte blocks", erofs, 512);
  in_child("ext4", ext4, 0);
  in_child("nftables", nftables, 0);
  in_child("tap", tun, IFF_TAP | IFF_NO_PI);
  in_child("tun", tun, IFF_TUN | IFF_NO_PI);
  in_child("io_uring", io_uring, 0);
  in_child("seccomp filter", seccomp, 0);
  in_child("bpf socket filter", bpf, BPF_PROG_TYPE_SOCKET_FILTER);
  in_child("bpf cgroup device filter", bpf, BPF_PROG_TYPE_CGROUP_DEVICE);
  in_child("32-bit programs", program_32, 42);
  in_child("fuse", device, (long)"/dev/fuse");
  in_child("loop devices", device, (long)"/dev/loop-control");
}
