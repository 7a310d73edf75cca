/*
 * PID 1 of the device benches' guest: exercises one device from inside, so that the device is measured and no runtime,
 * and prints a line for each measurement: "bench NAME OPERATIONS BYTES NANOSECONDS". What to do is on the kernel's
 * command line: bench=block|vsock|fs|git. The same program under every VMM; "init git ROUNDS" does the same work with
 * no machine around it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, LARGE = 128 << 10, STREAM = 16 << 20, DEPTH = 16, FILES = 300 };
enum { PORT_ECHO = 5001, PORT_SINK = 5002, PORT_SOURCE = 5003 };

static char *buffer; /* aligned for O_DIRECT */

/* as husk-init's (guest/init/vm.c) */
static void mark_init(void) {
  unsigned leaf = 0x4855534b, ebx, ecx = 0, edx;
  __asm__ volatile("cpuid" : "+a"(leaf), "=b"(ebx), "+c"(ecx), "=d"(edx));
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static _Noreturn void switch_off(void) {
  sync();
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

static _Noreturn void fail(const char *what) {
  printf("bench-failed %s: %s\n", what, strerror(errno));
  if (getpid() != 1) exit(1);
  switch_off();
}

static void report(const char *name, unsigned operations, uint64_t bytes, uint64_t start) {
  printf("bench %s %u %llu %llu\n", name, operations, (unsigned long long)bytes, (unsigned long long)(now() - start));
}

/* the same places on every run and every VMM */
static uint32_t seed;
static off_t random_place(off_t size) {
  seed = seed * 1664525u + 1013904223u;
  return (off_t)(seed >> 8) % (size / BLOCK) * BLOCK;
}

static void in_flight(const char *name, int fd, off_t size, unsigned operations) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, DEPTH, &context) != 0) fail("io_setup");
  static struct iocb requests[DEPTH];
  static struct io_event events[DEPTH];
  struct iocb *submit[DEPTH];
  uint64_t start = now();
  for (unsigned done = 0, sent = 0, free_slots = DEPTH; done < operations;) {
    unsigned n = 0;
    for (unsigned i = 0; i < DEPTH && free_slots > 0 && sent < operations; i++) {
      if (requests[i].aio_nbytes != 0) continue;
      requests[i] = (struct iocb){.aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)(buffer + i * BLOCK), .aio_nbytes = BLOCK, .aio_offset = random_place(size), .aio_data = i};
      submit[n++] = &requests[i];
      sent++;
      free_slots--;
    }
    if (n > 0 && syscall(SYS_io_submit, context, n, submit) != (long)n) fail("io_submit");
    long got = syscall(SYS_io_getevents, context, 1, DEPTH, events, NULL);
    if (got < 1) fail("io_getevents");
    for (long i = 0; i < got; i++) {
      if (events[i].res != BLOCK) fail("asynchronous read");
      requests[events[i].data].aio_nbytes = 0;
    }
    done += (unsigned)got;
    free_slots += (unsigned)got;
  }
  report(name, operations, (uint64_t)operations * BLOCK, start);
  syscall(SYS_io_destroy, context);
}

static void block(int rounds) {
  int fd = open("/dev/vda", O_RDWR | O_DIRECT);
  if (fd < 0) fail("/dev/vda");
  off_t size = lseek(fd, 0, SEEK_END);
  for (int round = 0; round < rounds; round++) {
    uint64_t start = now();
    for (off_t at = 0; at < STREAM; at += LARGE) if (pwrite(fd, buffer, LARGE, at) != LARGE) fail("write");
    report("sequential-write", STREAM / LARGE, STREAM, start);
    start = now();
    for (off_t at = 0; at < STREAM; at += LARGE) if (pread(fd, buffer, LARGE, at) != LARGE) fail("read");
    report("sequential-read", STREAM / LARGE, STREAM, start);
    seed = 1;
    start = now();
    for (int i = 0; i < 400; i++) if (pread(fd, buffer, BLOCK, random_place(size)) != BLOCK) fail("random read");
    report("random-read", 400, 400 * BLOCK, start);
    in_flight("random-read-16", fd, size, 1600);
    start = now();
    for (int i = 0; i < 400; i++) if (pwrite(fd, buffer, BLOCK, random_place(size)) != BLOCK) fail("random write");
    report("random-write", 400, 400 * BLOCK, start);
    start = now();
    for (int i = 0; i < 100; i++) if (pwrite(fd, buffer, BLOCK, random_place(size)) != BLOCK || fdatasync(fd) != 0) fail("flushed write");
    report("random-write-flush", 100, 100 * BLOCK, start);
  }
}

static int call(unsigned port) {
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&host, sizeof host) != 0) fail("vsock connect");
  return fd;
}

static void vsock(int rounds) {
  for (int round = 0; round < rounds; round++) {
    int fd = call(PORT_ECHO);
    uint64_t start = now();
    for (int i = 0; i < 300; i++) if (write(fd, buffer, 1) != 1 || read(fd, buffer, 1) != 1) fail("vsock echo");
    report("round-trip", 300, 300, start);
    close(fd);
    start = now();
    for (int i = 0; i < 50; i++) close(call(PORT_SINK));
    report("connect", 50, 0, start);
    fd = call(PORT_SINK);
    start = now();
    for (size_t sent = 0; sent < STREAM;) {
      ssize_t n = write(fd, buffer, 65536);
      if (n < 0) fail("vsock write");
      sent += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    if (read(fd, buffer, 1) < 0) fail("vsock end");
    report("stream-out", STREAM / 65536, STREAM, start);
    close(fd);
    fd = call(PORT_SOURCE);
    start = now();
    ssize_t n;
    size_t total = 0;
    while ((n = read(fd, buffer, 65536)) > 0) total += (size_t)n;
    if (total != STREAM) fail("vsock stream");
    report("stream-in", STREAM / 65536, STREAM, start);
    close(fd);
  }
}

static void fs(int rounds) {
  char name[64];
  struct stat info;
  mkdir("/mnt", 0755);
  if (mount("share", "/mnt", "virtiofs", 0, NULL) != 0) fail("mount");
  for (int round = 0; round < rounds; round++) {
    if (mkdir("/mnt/many", 0755) != 0 || chdir("/mnt/many") != 0) fail("mkdir");
    uint64_t start = now();
    for (int i = 0; i < FILES; i++) {
      sprintf(name, "file-%d", i);
      int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
      if (fd < 0) fail("create");
      close(fd);
    }
    report("create", FILES, 0, start);
    start = now();
    for (int i = 0; i < FILES; i++) {
      sprintf(name, "file-%d", i);
      if (stat(name, &info) != 0) fail("stat");
    }
    report("stat", FILES, 0, start);
    start = now();
    for (int i = 0; i < 10; i++) {
      DIR *folder = opendir(".");
      int count = 0;
      while (readdir(folder)) count++;
      closedir(folder);
      if (count != FILES + 2) fail("readdir");
    }
    report("readdir", 10, 0, start);
    start = now();
    for (int i = 0; i < FILES; i++) {
      sprintf(name, "file-%d", i);
      int fd = open(name, O_RDONLY);
      if (fd < 0 || read(fd, buffer, BLOCK) != 0) fail("open");
      close(fd);
    }
    report("open-read-close", FILES, 0, start);
    start = now();
    for (int i = 0; i < FILES; i++) {
      sprintf(name, "file-%d", i);
      if (unlink(name) != 0) fail("unlink");
    }
    report("unlink", FILES, 0, start);
    if (chdir("/mnt") != 0 || rmdir("many") != 0) fail("rmdir");
    int fd = open("large", O_CREAT | O_TRUNC | O_RDWR, 0644);
    start = now();
    for (off_t at = 0; at < STREAM; at += LARGE) if (pwrite(fd, buffer, LARGE, at) != LARGE) fail("write");
    if (fsync(fd) != 0) fail("fsync");
    report("write", STREAM / LARGE, STREAM, start);
    close(fd);
    fd = open("large", O_RDONLY);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    start = now();
    for (off_t at = 0; at < STREAM; at += LARGE) if (pread(fd, buffer, LARGE, at) != LARGE) fail("read");
    report("read", STREAM / LARGE, STREAM, start);
    close(fd);
    unlink("large");
  }
  if (chdir("/") != 0 || umount("/mnt") != 0) fail("unmount");
}

/* Runs git in the repository; it must say nothing. */
static void run_git(const char *name, const char *const arguments[]) {
  uint64_t start = now();
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    int nothing = open("/output", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(nothing, 1);
    execv("/bin/git", (char *const *)arguments);
    _exit(127);
  }
  int status;
  struct stat said;
  if (waitpid(child, &status, 0) != child) fail("wait");
  report(name, 1, 0, start);
  if (status != 0 || stat("/output", &said) != 0 || said.st_size != 0) fail(name);
}

/* What git knows of a repository that nobody has changed. */
static void git(int rounds) {
  static const char *const status[] = {"git", "-c", "safe.directory=*", "-C", "/mnt", "status", "--porcelain", NULL};
  setenv("HOME", "/", 1);
  for (int round = 0; round < rounds; round++) run_git(round == 0 ? "git-status,-first" : "git-status,-again", status);
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "git") == 0) {
    git(atoi(arguments[2]));
    return 0;
  }
  mark_init();
  mkdir("/proc", 0755), mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  static char command_line[2048];
  int fd = open("/proc/cmdline", O_RDONLY);
  if (fd < 0 || read(fd, command_line, sizeof command_line - 1) < 0) switch_off();
  if (freopen("/dev/console", "w", stdout) == NULL) switch_off();
  setvbuf(stdout, NULL, _IOLBF, 0);
  buffer = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  memset(buffer, 0x5a, LARGE);
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  printf("init: up %ld.%09ld\n", (long)up.tv_sec, up.tv_nsec);
  /* more than one round: the first warms caches and compilers */
  const char *rounds_text = strstr(command_line, "rounds=");
  int rounds = rounds_text ? atoi(rounds_text + 7) : 1;
  if (strstr(command_line, "bench=block")) block(rounds);
  if (strstr(command_line, "bench=vsock")) vsock(rounds);
  if (strstr(command_line, "bench=fs")) fs(rounds);
  if (strstr(command_line, "bench=git")) {
    mkdir("/mnt", 0755);
    if (mount("share", "/mnt", "virtiofs", 0, NULL) != 0) fail("mount");
    git(rounds);
  }
  if (strstr(command_line, "bench=idle")) {
    printf("idle\n");
    for (;;) pause();
  }
  switch_off();
}
