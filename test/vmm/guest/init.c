/*
 * PID 1 of the VMM's own test guest: does what its command line's husk.test= says, prints to the console, reboots.
 * Static, no shell.
 */
#define _GNU_SOURCE
#include "features.h"

#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if.h>
#include <linux/reboot.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int has(const char *cmdline, const char *word) { return strstr(cmdline, word) != NULL; }

static void say(const char *text) { printf("%s\n", text); fflush(stdout); }

/*
 * Reads the whole device in steps and prints its length and a sum; then, for a writable one, writes a pattern and reads
 * it back.
 */
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

/*
 * Calls the host at port 52 and says a line; then serves port 1024: whatever comes goes back, until the host ends.
 * Twice.
 */
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

static void check(const char *name, int ok) {
  if (ok) printf("fs: ok %s\n", name);
  else printf("fs: FAIL %s: %s\n", name, strerror(errno));
}

/* What a POSIX test of files, links, xattrs, locks, mmap and rename needs, on a shared folder. */
static void fs(void) {
  char buffer[256];
  struct stat a, b;
  mkdir("/mnt", 0755);
  check("mount", mount("share", "/mnt", "virtiofs", 0, NULL) == 0);
  if (chdir("/mnt") != 0) return;
  int fd = open("from-host", O_RDONLY);
  ssize_t n = read(fd, buffer, sizeof buffer);
  check("read what the host wrote", n == 9 && memcmp(buffer, "host says", 9) == 0);
  close(fd);
  umask(0);
  fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0640);
  check("create", fd >= 0 && fstat(fd, &a) == 0 && (a.st_mode & 07777) == 0640 && a.st_size == 0);
  check("create again", open("file", O_CREAT | O_EXCL | O_WRONLY, 0600) < 0 && errno == EEXIST);
  check("write", write(fd, "hello", 5) == 5 && fstat(fd, &a) == 0 && a.st_size == 5);
  check("pwrite beyond", pwrite(fd, "x", 1, 100000) == 1 && fstat(fd, &a) == 0 && a.st_size == 100001);
  check("hole reads as zeroes", pread(fd, buffer, 3, 5000) == 3 && buffer[0] == 0 && buffer[2] == 0);
  check("truncate", ftruncate(fd, 3) == 0 && fstat(fd, &a) == 0 && a.st_size == 3);
  check("fsync", fsync(fd) == 0 && fdatasync(fd) == 0);
  check("chmod", fchmod(fd, 04755) == 0 && fstat(fd, &a) == 0 && (a.st_mode & 07777) == 04755);
  check("fallocate", fallocate(fd, 0, 0, 8192) == 0 && fstat(fd, &a) == 0 && a.st_size == 8192);
  struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 123456789}, {.tv_sec = 1111111111, .tv_nsec = 987654321}};
  check("utimens", futimens(fd, times) == 0 && fstat(fd, &a) == 0 && a.st_mtim.tv_sec == 1111111111 && a.st_mtim.tv_nsec == 987654321);
  char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  check("mmap", map != MAP_FAILED && memcmp(map, "hel", 3) == 0);
  if (map != MAP_FAILED) {
    memcpy(map + 4096, "mapped", 6);
    check("msync", msync(map, 8192, MS_SYNC) == 0 && pread(fd, buffer, 6, 4096) == 6 && memcmp(buffer, "mapped", 6) == 0);
    munmap(map, 8192);
  }
  check("flock", flock(fd, LOCK_EX) == 0 && flock(fd, LOCK_UN) == 0);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
  check("posix lock", fcntl(fd, F_SETLK, &lock) == 0);
  check("link", link("file", "hard") == 0 && stat("file", &a) == 0 && stat("hard", &b) == 0 && a.st_ino == b.st_ino && a.st_nlink == 2);
  check("symlink", symlink("file", "soft") == 0 && (n = readlink("soft", buffer, sizeof buffer)) == 4 && lstat("soft", &a) == 0 && S_ISLNK(a.st_mode));
  check("mkdir", mkdir("dir", 01777) == 0 && stat("dir", &a) == 0 && S_ISDIR(a.st_mode) && (a.st_mode & 07777) == 01777);
  check("rmdir of a full folder", rename("hard", "dir/hard") == 0 && rmdir("dir") < 0 && errno == ENOTEMPTY);
  check("rename over", close(open("old", O_CREAT | O_WRONLY, 0600)) == 0 && rename("old", "dir/hard") == 0 && stat("dir/hard", &a) == 0 && a.st_size == 0);
  check("rename noreplace", syscall(SYS_renameat2, AT_FDCWD, "soft", AT_FDCWD, "file", 1) < 0 && errno == EEXIST);
  check("rename exchange", syscall(SYS_renameat2, AT_FDCWD, "soft", AT_FDCWD, "file", 2) == 0 && lstat("file", &a) == 0 && S_ISLNK(a.st_mode) && rename("soft", "real") == 0);
  check("xattr", setxattr("real", "user.test", "value", 5, 0) == 0 && getxattr("real", "user.test", buffer, sizeof buffer) == 5 && memcmp(buffer, "value", 5) == 0);
  check("xattr list", listxattr("real", buffer, sizeof buffer) == 10 && strcmp(buffer, "user.test") == 0);
  check("xattr create", setxattr("real", "user.test", "x", 1, XATTR_CREATE) < 0 && errno == EEXIST);
  check("xattr remove", removexattr("real", "user.test") == 0 && getxattr("real", "user.test", buffer, sizeof buffer) < 0 && errno == ENODATA);
  check("fifo", mkfifo("fifo", 0600) == 0 && stat("fifo", &a) == 0 && S_ISFIFO(a.st_mode));
  check("no device nodes", mknod("device", S_IFBLK | 0600, makedev(8, 0)) < 0 && errno == EPERM);
  int gone = open("gone", O_RDWR | O_CREAT, 0600);
  check("open and unlinked", unlink("gone") == 0 && write(gone, "still", 5) == 5 && pread(gone, buffer, 5, 0) == 5 && memcmp(buffer, "still", 5) == 0 && fstat(gone, &a) == 0 && a.st_nlink == 0);
  close(gone);
  int append = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  check("append", write(append, "one", 3) == 3 && write(append, "two", 3) == 3 && fstat(append, &a) == 0 && a.st_size == 6);
  close(append);
  mkdir("many", 0755);
  for (int i = 0; i < 300; i++) { sprintf(buffer, "many/%d-a-name-that-is-not-so-short", i); close(open(buffer, O_CREAT | O_WRONLY, 0600)); }
  int count = 0;
  DIR *dir = opendir("many");
  for (struct dirent *entry; dir && (entry = readdir(dir));) count++;
  check("readdir of three hundred", count == 302);
  if (dir) { rewinddir(dir); count = 0; while (readdir(dir)) count++; closedir(dir); }
  check("rewinddir", count == 302);
  memset(buffer, 'n', 255);
  buffer[255] = 0;
  check("a name of 255 bytes", close(open(buffer, O_CREAT | O_WRONLY, 0600)) == 0 && stat(buffer, &a) == 0);
  check("a name that is not utf-8", close(open("\xff\xfe", O_CREAT | O_WRONLY, 0600)) == 0 && stat("\xff\xfe", &a) == 0);
  /* links that lead out of the share lead into the guest's own tree */
  check("escape by symlink", open("escape/passwd", O_RDONLY) < 0);
  check("escape by ..", stat("..", &a) == 0 && stat("/", &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
  struct statvfs space;
  check("statvfs", statvfs(".", &space) == 0 && space.f_blocks > 0 && space.f_namemax == 255);
  static char big[3 << 20], again[3 << 20];
  for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * 2654435761u >> 13);
  int large = open("large", O_RDWR | O_CREAT, 0600);
  check("write 3 MiB", write(large, big, sizeof big) == (ssize_t)sizeof big);
  posix_fadvise(large, 0, 0, POSIX_FADV_DONTNEED);
  check("read 3 MiB", pread(large, again, sizeof again, 0) == (ssize_t)sizeof again && memcmp(big, again, sizeof big) == 0);
  close(large);
  check("unlink", unlink("real") == 0 && stat("real", &a) < 0 && errno == ENOENT);
  check("the unlinked file is still there for us", fstat(fd, &a) == 0);
  close(fd);
  for (dir = opendir("."); dir && readdir(dir);) {}
  if (dir) closedir(dir);
  dir = opendir(".");
  say("fs: waiting");
  for (int i = 0; i < 200; i++) {
    if ((fd = open("live", O_RDONLY)) >= 0 && (n = read(fd, buffer, sizeof buffer)) == 7) break;
    if (fd >= 0) close(fd);
    usleep(50000);
  }
  check("live from the host", n == 7 && memcmp(buffer, "changed", 7) == 0);
  int listed = 0;
  for (struct dirent *entry; dir && (entry = readdir(dir));) listed += strcmp(entry->d_name, "live") == 0;
  if (dir) closedir(dir);
  check("the host's name in a folder that was open before", listed == 1);
  close(fd);
  if (chdir("/") != 0) say("fs: FAIL chdir");
  check("unmount", umount("/mnt") == 0);
}

/* @returns the number of names that are left in an open folder, a few at a time; -1: it cannot be read */
static int names_left(int folder, int at_most) {
  char entries[256];
  int count = 0;
  for (long n; at_most > 0; at_most--) {
    if ((n = syscall(SYS_getdents64, folder, entries, sizeof entries)) < 0) return -1;
    if (n == 0) break;
    for (long at = 0; at < n; at += *(unsigned short *)(entries + at + 16)) count++;
  }
  return count;
}

static int drop_page_cache(void) {
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  int done = fd >= 0 && write(fd, "1", 1) == 1;
  close(fd);
  return done;
}

/*
 * The kernel opens a folder whose listing it keeps without the device, and has the device open it once something of the
 * folder is asked of it after all. "many" has a hundred files, and its listing is kept.
 */
static void fs_kept_folder(void) {
  enum { ALL = 102, EVERY = 1000 };
  struct stat a;
  int folder = open("/mnt/many", O_RDONLY | O_DIRECTORY);
  check("kept: listed", names_left(folder, EVERY) == ALL);
  close(folder);
  folder = open("/mnt/many", O_RDONLY | O_DIRECTORY);
  check("kept: listed without its pages", drop_page_cache() && names_left(folder, EVERY) == ALL && names_left(folder, EVERY) == 0);
  close(folder);
  folder = open("/mnt/many", O_RDONLY | O_DIRECTORY);
  int first = names_left(folder, 3);
  check("kept: pages gone in the middle", first > 0 && first < ALL && drop_page_cache() && names_left(folder, EVERY) == ALL - first);
  check("kept: read again from the start", lseek(folder, 0, SEEK_SET) == 0 && names_left(folder, EVERY) == ALL);
  close(folder);
  folder = open("/mnt/many", O_RDONLY | O_DIRECTORY);
  long version;
  check("kept: ioctl", ioctl(folder, _IOR('v', 1, long), &version) < 0 && errno == ENOTTY);
  close(folder);
  folder = open("/mnt/many", O_RDONLY | O_DIRECTORY);
  check("kept: fsync", fsync(folder) == 0 && fsync(folder) == 0 && names_left(folder, EVERY) == ALL);
  close(folder);
  folder = open("/mnt/many", O_RDONLY | O_DIRECTORY);
  check("kept: a name of our own", close(open("/mnt/many/new", O_WRONLY | O_CREAT | O_EXCL, 0600)) == 0 && names_left(folder, EVERY) == ALL + 1 && unlink("/mnt/many/new") == 0);
  close(folder);
  /* whoever may not list it may not because somebody else has */
  check("kept: chmod", chmod("/mnt/many", 0700) == 0 && (folder = open("/mnt/many", O_RDONLY | O_DIRECTORY)) >= 0 && names_left(folder, EVERY) == ALL);
  close(folder);
  pid_t child = fork();
  if (child == 0) _exit(setuid(1000) == 0 && open("/mnt/many", O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES ? 0 : 1);
  int status = 1;
  check("kept: permission", waitpid(child, &status, 0) == child && status == 0 && chmod("/mnt/many", 0755) == 0);
  mkdir("/mnt/gone", 0755);
  folder = open("/mnt/gone", O_RDONLY | O_DIRECTORY);
  int none = names_left(folder, EVERY);
  close(folder);
  folder = open("/mnt/gone", O_RDONLY | O_DIRECTORY);
  check("kept: removed", none == 2 && rmdir("/mnt/gone") == 0 && names_left(folder, EVERY) == -1 && errno == ENOENT && fstat(folder, &a) == 0 && S_ISDIR(a.st_mode));
  close(folder);
}

/* A hundred files: made, written, looked at ten times, listed a hundred times, moved and removed. What is known is not asked for again. */
static void fs_kept(void) {
  char name[64], other[64];
  struct stat a;
  mkdir("/mnt", 0755);
  check("mount", mount("share", "/mnt", "virtiofs", 0, NULL) == 0 && mkdir("/mnt/many", 0755) == 0);
  int good = 0;
  for (int i = 0; i < 100; i++) {
    sprintf(name, "/mnt/many/%d", i);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    good += fd >= 0 && write(fd, "text", 4) == 4 && fchmod(fd, 0640) == 0 && close(fd) == 0 && open(name, O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 && errno == EEXIST;
  }
  check("made", good == 100);
  good = 0;
  for (int i = 0; i < 1000; i++) {
    sprintf(name, "/mnt/many/%d", i % 100);
    good += stat(name, &a) == 0 && a.st_size == 4 && (a.st_mode & 0777) == 0640;
    strcat(name, "-is-not-there");
    good += stat(name, &a) < 0 && errno == ENOENT;
  }
  check("looked at", good == 2000);
  good = 0;
  for (int i = 0; i < 100; i++) {
    DIR *dir = opendir("/mnt/many");
    while (dir && readdir(dir)) good++;
    if (dir) closedir(dir);
  }
  check("listed", good == 10200);
  fs_kept_folder();
  good = 0;
  for (int i = 0; i < 100; i++) {
    sprintf(name, "/mnt/many/%d", i);
    sprintf(other, "/mnt/many/%d-other", i);
    good += link(name, other) == 0 && stat(name, &a) == 0 && a.st_nlink == 2 && unlink(name) == 0 && stat(name, &a) < 0;
    good += stat(other, &a) == 0 && a.st_nlink == 1;
  }
  check("linked", good == 200);
  mkdir("/mnt/few", 0755);
  good = 0;
  for (int i = 0; i < 100; i++) {
    sprintf(name, "/mnt/many/%d-other", i);
    sprintf(other, "/mnt/few/%d", i);
    good += rename(name, other) == 0 && stat(name, &a) < 0 && stat(other, &a) == 0 && a.st_size == 4 && unlink(other) == 0 && stat(other, &a) < 0;
  }
  check("moved and removed", good == 100);
  check("unmount", rmdir("/mnt/few") == 0 && rmdir("/mnt/many") == 0 && umount("/mnt") == 0);
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
  /* The kernel reports every two seconds, in pieces, which a busy emulator takes its time for. */
  sleep(15);
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
  if (has(cmdline, "husk.test=fs-kept")) fs_kept();
  else if (has(cmdline, "husk.test=fs")) fs();
  if (has(cmdline, "husk.test=features")) features();
  if (has(cmdline, "husk.test=snapshot")) {
    if (fork() == 0) { net(); _exit(0); }
    snapshot();
  }
  if (has(cmdline, "husk.test=panic")) { fd = open("/proc/sysrq-trigger", O_WRONLY); exit(3); }
  if (has(cmdline, "husk.test=hang")) for (;;) pause();
  if (has(cmdline, "husk.test=spin")) { say("spinning"); for (;;) ; }
  say("init: done");
  sync();
  reboot(LINUX_REBOOT_CMD_RESTART);
  for (;;) pause();
}
