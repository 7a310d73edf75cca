/* PID 1 of the VMM's own test guest: does what its command line's husk.test= says, prints to the console, reboots. Static, no shell. */
#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/reboot.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

static int has(const char *cmdline, const char *word) { return strstr(cmdline, word) != NULL; }

static void say(const char *text) { printf("%s\n", text); fflush(stdout); }

/* Reads the whole device in steps and prints its length and a sum; then, for a writable one, writes a pattern and reads it back. */
static void disk(const char *path, int writable) {
  static unsigned char buffer[1 << 17], again[1 << 17];
  int fd = open(path, writable ? O_RDWR : O_RDONLY);
  if (fd < 0) { printf("%s: open: %s\n", path, strerror(errno)); return; }
  unsigned long long sum = 0, length = 0;
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0; length += n)
    for (ssize_t i = 0; i < n; i++) sum = sum * 31 + buffer[i];
  printf("%s: length %llu sum %llx\n", path, length, sum);
  if (writable) {
    for (size_t i = 0; i < sizeof buffer; i++) buffer[i] = (unsigned char)(i * 7 + 3);
    if (pwrite(fd, buffer, sizeof buffer, 512 * 64) != (ssize_t)sizeof buffer || fsync(fd) != 0) printf("%s: write: %s\n", path, strerror(errno));
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (pread(fd, again, sizeof again, 512 * 64) != (ssize_t)sizeof again || memcmp(buffer, again, sizeof again) != 0) printf("%s: read back differs\n", path);
    else printf("%s: written\n", path);
  } else if (pwrite(fd, buffer, 512, 0) >= 0) printf("%s: writable\n", path);
  close(fd);
}

/* Calls the host at port 52 and says a line; then serves port 1024: whatever comes goes back, until the host ends. Twice. */
static void vsock(void) {
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 52};
  struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 1024};
  static char buffer[1 << 16];
  int server = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&any, sizeof any) != 0 || listen(server, 8) != 0) printf("vsock: listen: %s\n", strerror(errno));
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&host, sizeof host) != 0) { printf("vsock: connect: %s\n", strerror(errno)); return; }
  if (write(fd, "hello from the guest\n", 21) != 21) printf("vsock: write: %s\n", strerror(errno));
  shutdown(fd, SHUT_WR);
  ssize_t n = read(fd, buffer, sizeof buffer);
  printf("vsock: host said %.*s\n", (int)n, buffer);
  close(fd);
  for (int i = 0; i < 2; i++) {
    int peer = accept(server, NULL, NULL);
    unsigned long long total = 0;
    while ((n = read(peer, buffer, sizeof buffer)) > 0)
      for (ssize_t done = 0, m; done < n; done += m, total += (unsigned long long)m)
        if ((m = write(peer, buffer + done, (size_t)(n - done))) < 0) { printf("vsock: echo: %s\n", strerror(errno)); return; }
    printf("vsock: echoed %llu\n", total);
    close(peer);
  }
}

/* Touches memory and lets it go again, in pieces that the kernel reports as free. */
static void balloon(void) {
  size_t size = 64u << 20;
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(memory, 1, size);
  say("balloon: touched");
  sleep(1);
  munmap(memory, size);
  say("balloon: let go");
  sleep(5);
}

/* Brings eth0 up and answers one datagram to port 7. */
static void net(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {.ifr_name = "eth0"};
  struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
  address->sin_family = AF_INET;
  address->sin_addr.s_addr = inet_addr("10.9.8.7");
  if (ioctl(fd, SIOCSIFADDR, &request) != 0) printf("net: address: %s\n", strerror(errno));
  address->sin_addr.s_addr = inet_addr("255.255.255.0");
  ioctl(fd, SIOCSIFNETMASK, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) printf("net: up: %s\n", strerror(errno));
  ioctl(fd, SIOCGIFMTU, &request);
  printf("net: mtu %d\n", request.ifr_mtu);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7)}, peer;
  bind(fd, (struct sockaddr *)&any, sizeof any);
  say("net: ready");
  char buffer[2048];
  socklen_t length = sizeof peer;
  ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&peer, &length);
  if (sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&peer, length) != n) printf("net: send: %s\n", strerror(errno));
  printf("net: answered %zd\n", n);
  usleep(200000);
}

int main(void) {
  mkdir("/proc", 0755); mkdir("/sys", 0755); mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sys", "/sys", "sysfs", 0, NULL);
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  char cmdline[2048] = "";
  int fd = open("/proc/cmdline", O_RDONLY);
  if (fd >= 0) { if (read(fd, cmdline, sizeof cmdline - 1) < 0) say("no cmdline"); close(fd); }
  if (freopen("/dev/console", "w", stdout) == NULL) { /* the kernel opened it already */ }
  setvbuf(stdout, NULL, _IOLBF, 0);

  struct sysinfo info;
  sysinfo(&info);
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  printf("init: cpus %ld memory %lu MiB up %ld.%06ld\n", sysconf(_SC_NPROCESSORS_ONLN), info.totalram >> 20, (long)up.tv_sec, up.tv_nsec / 1000);
  if (has(cmdline, "husk.test=disk")) { disk("/dev/vda", 0); disk("/dev/vdb", 1); }
  if (has(cmdline, "husk.test=rng")) {
    unsigned char bytes[64] = {0};
    int rng = open("/dev/hwrng", O_RDONLY);
    ssize_t n = rng < 0 ? -1 : read(rng, bytes, sizeof bytes);
    int zeroes = 0;
    for (size_t i = 0; i < sizeof bytes; i++) zeroes += bytes[i] == 0;
    printf("rng: %zd bytes, %s\n", n, zeroes < 16 ? "random" : "not random");
  }
  if (has(cmdline, "husk.test=vsock")) vsock();
  if (has(cmdline, "husk.test=balloon")) balloon();
  if (has(cmdline, "husk.test=net")) net();
  if (has(cmdline, "husk.test=panic")) { fd = open("/proc/sysrq-trigger", O_WRONLY); exit(3); }
  if (has(cmdline, "husk.test=hang")) for (;;) pause();
  if (has(cmdline, "husk.test=spin")) { say("spinning"); for (;;) ; }
  say("init: done");
  sync();
  reboot(LINUX_REBOOT_CMD_RESTART);
  for (;;) pause();
}
