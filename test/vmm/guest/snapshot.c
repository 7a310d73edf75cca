/*
 * The guest of the snapshot tests: it keeps timers, a disk and a stream busy, and answers questions of one line on vsock
 * port 1024, a connection each. The same machine goes on many times from one snapshot, so nothing here knows of it.
 */
#define _GNU_SOURCE
#include "features.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, SLOTS = 64, PIECE = 8192 };

/* What the background processes have done so far. */
static volatile struct counts {
  uint64_t ticks, written, sent, cpu[4], slept;
} *counts;

static int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

/* A periodic timer that is always armed. */
static void tick(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec every = {{0, 20000000}, {0, 20000000}};
  timerfd_settime(fd, 0, &every, NULL);
  for (uint64_t expired; read(fd, &expired, sizeof expired) == (ssize_t)sizeof expired;) counts->ticks += expired;
}

/* Sleeps of 700 ms one after another: one is under way at any moment. The longest one is told. */
static void nap(void) {
  for (;;) {
    int64_t start = now(CLOCK_MONOTONIC);
    usleep(700000);
    uint64_t took = (uint64_t)(now(CLOCK_MONOTONIC) - start) / 1000000;
    if (took < 700) printf("snapshot: FAIL a sleep of 700 ms ended after %llu\n", (unsigned long long)took);
    counts->slept++;
  }
}

/* Writes numbered blocks in turn, each to the disk's own store before the next, and reads every one of them again. */
static void write_disk(const char *path) {
  int fd = open(path, O_RDWR | O_DIRECT);
  uint64_t *block = NULL;
  if (fd < 0 || posix_memalign((void **)&block, BLOCK, BLOCK) != 0) { printf("snapshot: FAIL %s: %s\n", path, strerror(errno)); return; }
  for (uint64_t number = 1;; number++) {
    off_t at = (off_t)(number % SLOTS) * BLOCK;
    for (size_t i = 0; i < BLOCK / sizeof *block; i++) block[i] = number + i;
    if (pwrite(fd, block, BLOCK, at) != BLOCK || fdatasync(fd) != 0) { printf("snapshot: FAIL write %llu: %s\n", (unsigned long long)number, strerror(errno)); return; }
    memset(block, 0, BLOCK);
    if (pread(fd, block, BLOCK, at) != BLOCK) { printf("snapshot: FAIL read %llu: %s\n", (unsigned long long)number, strerror(errno)); return; }
    for (size_t i = 0; i < BLOCK / sizeof *block; i++)
      if (block[i] != number + i) { printf("snapshot: FAIL block %llu differs\n", (unsigned long long)number); return; }
    counts->written = number;
  }
}

/* Sends 64-bit numbers to the host's port 53 as fast as they are taken. */
static void stream(void) {
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 53};
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&host, sizeof host) != 0) { printf("snapshot: FAIL connect: %s\n", strerror(errno)); return; }
  static uint64_t piece[PIECE / 8];
  for (uint64_t number = 0;; counts->sent = number) {
    for (size_t i = 0; i < PIECE / 8; i++) piece[i] = number++;
    for (size_t done = 0; done < PIECE;) {
      ssize_t n = write(fd, (char *)piece + done, PIECE - done);
      if (n <= 0) { printf("snapshot: the stream ended: %s\n", strerror(errno)); return; }
      done += (size_t)n;
    }
    /* The others want the CPU too. */
    if (number % (16 * PIECE / 8) == 0) usleep(1000);
  }
}

/* Counts on one CPU, with a rest, so that the CPU both halts and runs. */
static void count(int cpu) {
  pin(cpu);
  for (;;) {
    for (volatile int i = 0; i < 10000; i++) ;
    counts->cpu[cpu]++;
    usleep(5000);
  }
}

static void start(void (*work)(void)) {
  if (fork() == 0) { work(); _exit(0); }
}

static void write_second(void) { write_disk("/dev/vdb"); }

static int hex(const char *text, unsigned char *bytes, int most) {
  int length = 0;
  for (unsigned value; length < most && sscanf(text + 2 * length, "%2x", &value) == 1; length++) bytes[length] = (unsigned char)value;
  return length;
}

static void answer(int peer) {
  char line[512] = "";
  ssize_t n = read(peer, line, sizeof line - 1);
  if (n <= 0) return;
  long value = strchr(line, ' ') ? atol(strchr(line, ' ')) : 0;
  if (strncmp(line, "time", 4) == 0)
    dprintf(peer, "%lld %lld %lld\n", (long long)now(CLOCK_MONOTONIC), (long long)now(CLOCK_REALTIME), (long long)now(CLOCK_BOOTTIME));
  else if (strncmp(line, "counts", 6) == 0)
    dprintf(peer, "%llu %llu %llu %llu %llu %llu\n", (unsigned long long)counts->ticks, (unsigned long long)counts->slept,
            (unsigned long long)counts->written, (unsigned long long)counts->sent, (unsigned long long)counts->cpu[0], (unsigned long long)counts->cpu[1]);
  else if (strncmp(line, "sleep", 5) == 0) {
    int64_t begin = now(CLOCK_MONOTONIC);
    usleep((useconds_t)value * 1000);
    dprintf(peer, "%lld\n", (long long)(now(CLOCK_MONOTONIC) - begin) / 1000000);
  } else if (strncmp(line, "pinned", 6) == 0) {
    pin((int)value);
    dprintf(peer, "%d\n", sched_getcpu());
  } else if (strncmp(line, "random", 6) == 0) {
    unsigned char bytes[32];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return;
    for (size_t i = 0; i < sizeof bytes; i++) dprintf(peer, "%02x", bytes[i]);
    dprintf(peer, "\n");
  } else if (strncmp(line, "seed ", 5) == 0) {
    struct { int bits, bytes; unsigned char data[64]; } pool = {0};
    pool.bytes = hex(line + 5, pool.data, sizeof pool.data);
    pool.bits = 8 * pool.bytes;
    int fd = open("/dev/urandom", O_RDWR);
    int added = ioctl(fd, RNDADDENTROPY, &pool), seeded = ioctl(fd, RNDRESEEDCRNG);
    dprintf(peer, "%d %d\n", added, seeded);
    close(fd);
  } else if (strncmp(line, "hwrng", 5) == 0) {
    unsigned char bytes[16];
    int fd = open("/dev/hwrng", O_RDONLY);
    dprintf(peer, "%zd\n", read(fd, bytes, sizeof bytes));
    close(fd);
  } else if (strncmp(line, "disk", 4) == 0) {
    unsigned char bytes[512];
    int fd = open("/dev/vda", O_RDONLY | O_DIRECT);
    unsigned char *aligned = NULL;
    if (posix_memalign((void **)&aligned, 4096, 4096) != 0) return;
    ssize_t got = pread(fd, aligned, 512, 0);
    memcpy(bytes, aligned, sizeof bytes);
    dprintf(peer, "%zd %.8s\n", got, bytes);
    close(fd);
  } else if (strncmp(line, "size", 4) == 0) {
    unsigned long long size = 0;
    int fd = open("/dev/vda", O_RDONLY);
    ioctl(fd, BLKGETSIZE64, &size);
    dprintf(peer, "%llu\n", size);
  } else if (strncmp(line, "carrier", 7) == 0) {
    char text[8] = "";
    int fd = open("/sys/class/net/eth0/carrier", O_RDONLY);
    if (read(fd, text, sizeof text - 1) < 0) dprintf(peer, "%s", strerror(errno));
    dprintf(peer, "%s\n", text);
  } else if (strncmp(line, "share", 5) == 0) {
    char text[64] = "";
    mkdir("/share", 0755);
    int fd = mount("share", "/share", "virtiofs", 0, NULL) == 0 ? open("/share/from-host", O_RDONLY) : -1;
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0) dprintf(peer, "%s\n", strerror(errno));
    dprintf(peer, "%s\n", text);
  } else if (strncmp(line, "memory", 6) == 0) {
    size_t size = (size_t)value << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, size);
    munmap(memory, size);
    dprintf(peer, "touched\n");
  }
}

void snapshot(void) {
  signal(SIGCHLD, SIG_IGN);
  counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 1024};
  int server = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&any, sizeof any) != 0 || listen(server, 8) != 0) printf("snapshot: FAIL listen: %s\n", strerror(errno));
  start(tick);
  start(nap);
  for (int cpu = 0; cpu < (int)sysconf(_SC_NPROCESSORS_ONLN); cpu++) if (fork() == 0) count(cpu);
  start(write_second);
  start(stream);
  printf("snapshot: ready\n");
  for (;;) {
    int peer = accept(server, NULL, NULL);
    if (peer < 0) { printf("snapshot: FAIL accept: %s\n", strerror(errno)); continue; }
    if (fork() == 0) { answer(peer); _exit(0); }
    close(peer);
  }
}
