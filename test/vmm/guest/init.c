/* PID 1 of the VMM's own test guest: does what its command line's husk.test= says, prints to the console, reboots. Static, no shell. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
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
  if (has(cmdline, "husk.test=panic")) { fd = open("/proc/sysrq-trigger", O_WRONLY); exit(3); }
  if (has(cmdline, "husk.test=hang")) for (;;) pause();
  if (has(cmdline, "husk.test=spin")) { say("spinning"); for (;;) ; }
  say("init: done");
  sync();
  reboot(LINUX_REBOOT_CMD_RESTART);
  for (;;) pause();
}
