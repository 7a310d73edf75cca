/*
 * What a program may expect of a file system, asked one thing at a time in an empty folder: `posix FOLDER` prints a
 * line an answer, which holds nothing of where or when it ran. Run on the host and on a shared folder in a VM, the two
 * must print the same (test/vmm/shares.test.ts).
 *
 * Each answer is `name: value`, where a failed call's value is its error's name.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *name, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("%s: ", name);
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

/* a call's result: a number, or the error's name; descriptors are only ever said to be there */
static long result(const char *name, long value) {
  if (value < 0) say(name, "%s", strerrorname_np(errno));
  else say(name, "%ld", value);
  return value;
}
static int made(const char *name, int fd) {
  if (fd < 0) say(name, "%s", strerrorname_np(errno));
  else say(name, "yes");
  return fd;
}

static int put(const char *path, const char *text) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) say(path, "cannot be made: %s", strerrorname_np(errno));
  return fd;
}
static void put_closed(const char *path, const char *text) { close(put(path, text)); }

static void content(const char *name, const char *path) {
  char buffer[256];
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer - 1);
  if (length < 0) say(name, "%s", strerrorname_np(errno));
  else say(name, "\"%.*s\"", (int)length, buffer);
  if (fd >= 0) close(fd);
}

static void state(const char *name, const char *path) {
  struct stat a;
  if (lstat(path, &a) < 0) say(name, "%s", strerrorname_np(errno));
  else say(name, "mode %o links %ld size %lld uid %u gid %u", a.st_mode, S_ISDIR(a.st_mode) ? 0L : (long)a.st_nlink, S_ISDIR(a.st_mode) ? 0LL : (long long)a.st_size, a.st_uid, a.st_gid);
}

static int in_child(int (*work)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    int code = work();
    fflush(stdout);
    _exit(code);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void files(void) {
  umask(027);
  int fd = made("create", open("a", O_RDWR | O_CREAT | O_EXCL, 0666));
  state("umask applies", "a");
  made("create again", open("a", O_RDWR | O_CREAT | O_EXCL, 0666));
  result("write", write(fd, "hello world", 11));
  result("seek end", lseek(fd, 0, SEEK_END));
  result("seek before the start", lseek(fd, -1, SEEK_SET));
  result("pwrite beyond", pwrite(fd, "x", 1, 9000));
  char buffer[16];
  result("read at the end", pread(fd, buffer, 16, 9001));
  result("read of a hole", pread(fd, buffer, 16, 5000));
  say("a hole is zeros", "%d", buffer[0] | buffer[15]);
  result("truncate to less", ftruncate(fd, 5));
  result("truncate to more", ftruncate(fd, 20));
  state("after truncate", "a");
  result("truncate negative", ftruncate(fd, -1));
  result("truncate by name", truncate("a", 3));
  content("content", "a");
  int reading = open("a", O_RDONLY);
  result("write to a reader", write(reading, "x", 1));
  result("truncate of a reader", ftruncate(reading, 1));
  close(reading);
  int writing = open("a", O_WRONLY);
  result("read of a writer", read(writing, buffer, 1));
  close(writing);
  made("open a folder to write", open(".", O_WRONLY));
  made("open a file as a folder", open("a", O_RDONLY | O_DIRECTORY));
  made("open with a slash", open("a/", O_RDONLY));
  made("open what is not there", open("none", O_RDONLY));
  made("open below a file", open("a/b", O_RDONLY));
  made("create in no folder", open("no/b", O_RDWR | O_CREAT, 0666));
  close(made("truncate at open", open("a", O_RDWR | O_TRUNC)));
  state("after it", "a");
  struct iovec vector[3] = {{"one", 3}, {"two", 3}, {"three", 5}};
  result("pwritev", pwritev(fd, vector, 3, 0));
  content("what it wrote", "a");
  result("fsync", fsync(fd));
  result("fdatasync", fdatasync(fd));
  result("sync_file_range", sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
  result("syncfs", syncfs(fd));
  close(fd);
  int direct = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0600);
  void *page = NULL;
  if (posix_memalign(&page, 4096, 4096) == 0) memset(page, 'd', 4096);
  say("direct", "%s", direct < 0 ? strerrorname_np(errno) : "yes");
  if (direct >= 0) result("direct write", write(direct, page, 4096)), close(direct);
  struct stat a;
  say("inode numbers stay", "%d", stat("a", &a) == 0 && rename("a", "b") == 0 && ({ ino_t was = a.st_ino; stat("b", &a) == 0 && was == a.st_ino; }));
  result("unlink", unlink("b"));
  result("unlink again", unlink("b"));
  umask(022);
}

static void append(void) {
  int one = open("append", O_WRONLY | O_CREAT | O_APPEND, 0644), two = open("append", O_WRONLY | O_APPEND);
  result("append", write(one, "1", 1) + write(two, "2", 1) + write(one, "3", 1));
  result("pwrite to an appender", pwrite(one, "4", 1, 0));
  content("in the order of writing", "append");
  close(one), close(two);
  fflush(stdout);
  for (int child = 0; child < 4; child++)
    if (fork() == 0) {
      int fd = open("many", O_WRONLY | O_CREAT | O_APPEND, 0644);
      for (int i = 0; i < 200; i++)
        if (write(fd, "0123456789\n", 11) != 11) _exit(1);
      _exit(0);
    }
  for (int child = 0; child < 4; child++) wait(NULL);
  state("four at once", "many");
}

static void links(void) {
  put_closed("target", "text");
  result("link", link("target", "hard"));
  state("two names", "hard");
  result("link over", link("target", "hard"));
  result("link of a folder", (mkdir("folder", 0755), link("folder", "hard2")));
  result("symlink", symlink("target", "soft"));
  char buffer[PATH_MAX];
  ssize_t length = readlink("soft", buffer, sizeof buffer);
  say("readlink", "%.*s", (int)length, buffer);
  say("a link's size", "%d", ({ struct stat a; lstat("soft", &a); (int)a.st_size; }));
  content("through it", "soft");
  made("not through it", open("soft", O_RDONLY | O_NOFOLLOW));
  result("readlink of a file", readlink("target", buffer, sizeof buffer));
  result("a loop", (symlink("loop", "loop"), open("loop", O_RDONLY)));
  result("dangling", (symlink("nowhere", "dangling"), open("dangling", O_RDONLY)));
  close(made("create through a link", open("dangling", O_WRONLY | O_CREAT, 0644)));
  state("it made", "nowhere");
  char longest[4096];
  memset(longest, 't', 4095);
  longest[4095] = 0;
  result("a target of 4095 bytes", symlink(longest, "longlink"));
  result("is read back", readlink("longlink", buffer, sizeof buffer));
  result("link of a link", linkat(AT_FDCWD, "soft", AT_FDCWD, "softhard", 0));
  state("is one", "softhard");
  result("unlink one of two", unlink("target"));
  state("one name", "hard");
  result("chmod of a link", fchmodat(AT_FDCWD, "soft", 0600, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOTSUP ? 0 : 0);
}

static void names(void) {
  char name[300];
  memset(name, 'n', sizeof name);
  name[255] = 0;
  close(made("255 bytes", open(name, O_CREAT | O_WRONLY, 0600)));
  result("and gone", unlink(name));
  name[255] = 'n', name[256] = 0;
  made("256 bytes", open(name, O_CREAT | O_WRONLY, 0600));
  const char *odd[] = {"with space", "new\nline", "\xff\xfe", "\xc3\xa9", "-rf", "...", "~", "a:b", "back\\slash", "tab\t", " "};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    int fd = open(odd[i], O_CREAT | O_EXCL | O_WRONLY, 0600);
    char label[32];
    snprintf(label, sizeof label, "odd name %zu", i);
    say(label, "%d %d", fd >= 0, unlink(odd[i]));
    close(fd);
  }
  result("an empty name", open("", O_CREAT | O_WRONLY, 0600));
  result("mkdir .", mkdir(".", 0700));
  result("rmdir .", rmdir("."));
  result("rmdir ..", rmdir(".."));
}

static void folders(void) {
  result("mkdir", mkdir("d", 0777));
  state("its mode", "d");
  result("mkdir again", mkdir("d", 0777));
  put_closed("d/file", "x");
  result("rmdir of a full one", rmdir("d"));
  result("rmdir of a file", rmdir("d/file"));
  result("unlink of a folder", unlink("d") < 0 && (errno == EISDIR || errno == EPERM) ? 0 : -1);
  result("unlink in it", unlink("d/file"));
  int fd = open("d", O_RDONLY | O_DIRECTORY);
  result("rmdir", rmdir("d"));
  struct stat a;
  result("it is still there for us", fstat(fd, &a));
  made("create in what is gone", openat(fd, "x", O_CREAT | O_WRONLY, 0600));
  DIR *gone = fdopendir(fd);
  say("nothing is in it", "%d", readdir(gone) == NULL);
  closedir(gone);
  result("set-group-ID", (mkdir("sgid", 0755), chown("sgid", -1, 1), chmod("sgid", 02775)));
  mkdir("sgid/inside", 0755);
  put_closed("sgid/file", "");
  state("a folder inherits it", "sgid/inside");
  state("a file its group", "sgid/file");
  result("a deep path", mkdir("p", 0755) + mkdir("p/q", 0755) + mkdir("p/q/r", 0755));
  result("cwd", chdir("p/q/r"));
  result("rename of it from within", rename("../../../p", "../../../moved"));
  char path[PATH_MAX];
  say("cwd follows", "%d", strstr(getcwd(path, sizeof path) ? path : "", "/moved/q/r") != NULL);
  result("back", chdir("../../.."));
}

static void large_folder(void) {
  enum { COUNT = 1500 };
  mkdir("large", 0755);
  char path[64];
  for (int i = 0; i < COUNT; i++) {
    snprintf(path, sizeof path, "large/entry-%05d", i);
    if (i % 3 == 2) mkdir(path, 0755);
    else close(open(path, O_CREAT | O_WRONLY, 0644));
  }
  DIR *folder = opendir("large");
  int seen = 0, dots = 0, kinds = 0, numbers = 0;
  long middle = 0;
  char after[256] = "";
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (entry->d_name[0] == '.') {
      dots++;
      continue;
    }
    if (middle && !after[0]) snprintf(after, sizeof after, "%s", entry->d_name);
    if (++seen == COUNT / 2) middle = telldir(folder);
    kinds += entry->d_type == (atoi(entry->d_name + 6) % 3 == 2 ? DT_DIR : DT_REG);
    struct stat a;
    if (seen % 50 == 0) numbers += fstatat(dirfd(folder), entry->d_name, &a, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == entry->d_ino;
  }
  say("entries", "%d dots %d kinds %d inode numbers %d", seen, dots, kinds, numbers);
  seekdir(folder, middle);
  struct dirent *entry = readdir(folder);
  say("seekdir", "%d", entry && strcmp(entry->d_name, after) == 0);
  rewinddir(folder);
  int removed = 0;
  for (struct dirent *next; (next = readdir(folder));)
    if (next->d_name[0] != '.') removed += unlinkat(dirfd(folder), next->d_name, atoi(next->d_name + 6) % 3 == 2 ? AT_REMOVEDIR : 0) == 0;
  say("removed while it is read", "%d", removed);
  closedir(folder);
  result("it is empty", rmdir("large"));
}

static void renames(void) {
  put_closed("one", "1"), put_closed("two", "2");
  int held = open("two", O_RDONLY);
  result("over a file", rename("one", "two"));
  content("the new one", "two");
  char byte = 0;
  result("the old one, held", pread(held, &byte, 1, 0));
  say("says", "%c", byte);
  close(held);
  mkdir("empty", 0755), mkdir("full", 0755), put_closed("full/x", "");
  result("file over folder", rename("two", "empty"));
  result("folder over file", rename("empty", "two"));
  result("folder over empty", rename("full", "empty"));
  mkdir("other", 0755);
  result("folder over full", rename("other", "empty"));
  result("into itself", rename("empty", "empty/below"));
  result("to itself", rename("two", "two"));
  result("of nothing", rename("nothing", "two"));
  put_closed("three", "3");
  result("no replace, taken", renameat2(AT_FDCWD, "two", AT_FDCWD, "three", RENAME_NOREPLACE));
  result("no replace, free", renameat2(AT_FDCWD, "two", AT_FDCWD, "four", RENAME_NOREPLACE));
  result("exchange", renameat2(AT_FDCWD, "three", AT_FDCWD, "empty", RENAME_EXCHANGE));
  content("exchanged", "empty");
  state("and the folder", "three");
  result("exchange with nothing", renameat2(AT_FDCWD, "three", AT_FDCWD, "nothing", RENAME_EXCHANGE));
  result("both flags", renameat2(AT_FDCWD, "three", AT_FDCWD, "five", RENAME_EXCHANGE | RENAME_NOREPLACE));
  put_closed("same", "s"), link("same", "same2");
  result("onto another name of itself", rename("same", "same2"));
  state("both stay", "same");
}

static void unlinked(void) {
  int fd = put("gone", "still here");
  unlink("gone");
  struct stat a;
  char buffer[16] = "";
  result("write to the unlinked", pwrite(fd, "S", 1, 0));
  result("read", pread(fd, buffer, 10, 0));
  say("it says", "%s links %d", buffer, fstat(fd, &a) == 0 ? (int)a.st_nlink : -1);
  result("truncate", ftruncate(fd, 100));
  result("chmod", fchmod(fd, 0600));
  close(fd);
  int temporary = made("without a name", open(".", O_TMPFILE | O_RDWR, 0640));
  if (temporary >= 0) {
    result("write to it", write(temporary, "tmp", 3));
    say("links", "%d", fstat(temporary, &a) == 0 ? (int)a.st_nlink : -1);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", temporary);
    result("a name for it", linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    state("named", "named");
    content("content", "named");
    close(temporary);
  }
  temporary = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", temporary);
  result("never a name", linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
  close(temporary);
}

static void attributes(void) {
  int fd = put("x", "");
  char value[128] = "", list[256];
  result("set", setxattr("x", "user.one", "first", 5, 0));
  result("create", setxattr("x", "user.one", "again", 5, XATTR_CREATE));
  result("replace nothing", setxattr("x", "user.two", "v", 1, XATTR_REPLACE));
  result("set empty", fsetxattr(fd, "user.empty", "", 0, 0));
  result("size", getxattr("x", "user.one", NULL, 0));
  result("get", getxattr("x", "user.one", value, sizeof value));
  say("value", "%s", value);
  result("get empty", getxattr("x", "user.empty", value, sizeof value));
  result("too small", getxattr("x", "user.one", value, 2));
  result("none", getxattr("x", "user.none", value, sizeof value));
  ssize_t length = listxattr("x", list, sizeof list);
  int found = 0;
  for (ssize_t at = 0; at < length; at += strlen(list + at) + 1) found += strncmp(list + at, "user.", 5) == 0;
  say("list", "%d", found);
  result("remove", removexattr("x", "user.one"));
  result("remove again", removexattr("x", "user.one"));
  result("no such kind", setxattr("x", "nonsense.one", "v", 1, 0));
  static char big[60000];
  memset(big, 'b', sizeof big);
  int fits = setxattr("x", "user.big", big, sizeof big, 0);
  say("60,000 bytes, or what the file system says", "%d", fits == 0 || errno == ENOSPC || errno == E2BIG);
  setxattr("x", "user.kept", "v", 1, 0);
  rename("x", "y");
  result("they stay with it", getxattr("y", "user.kept", value, sizeof value));
  symlink("y", "link-to-y");
  result("of a link", lsetxattr("link-to-y", "user.one", "v", 1, 0));
  close(fd);
}

static int try_flock(void) { return flock(open("lock", O_RDWR), LOCK_EX | LOCK_NB) == 0 ? 0 : errno == EWOULDBLOCK ? 1 : 2; }
static int try_shared(void) { return flock(open("lock", O_RDWR), LOCK_SH | LOCK_NB) == 0 ? 0 : 1; }
static int try_range(void) {
  struct flock wish = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
  int fd = open("lock", O_RDWR);
  if (fcntl(fd, F_SETLK, &wish) < 0) return errno == EAGAIN || errno == EACCES ? 1 : 2;
  return 0;
}
static int who_holds(void) {
  struct flock wish = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
  return fcntl(open("lock", O_RDWR), F_GETLK, &wish) == 0 && wish.l_type == F_WRLCK && wish.l_pid == getppid() && wish.l_start == 0 && wish.l_len == 10 ? 1 : 0;
}
static int wait_for_lock(void) {
  alarm(20);
  return flock(open("lock", O_RDWR), LOCK_EX) == 0 ? 0 : 1;
}

static void locks(void) {
  int fd = put("lock", "0123456789");
  result("flock", flock(fd, LOCK_EX));
  say("another flock", "%d", in_child(try_flock));
  result("downgraded", flock(fd, LOCK_SH));
  say("shared with it", "%d", in_child(try_shared));
  result("unlock", flock(fd, LOCK_UN));
  say("free", "%d", in_child(try_flock));
  struct flock first = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
  result("range", fcntl(fd, F_SETLK, &first));
  say("overlapping", "%d", in_child(try_range));
  say("who holds it", "%d", in_child(who_holds));
  first.l_type = F_UNLCK, first.l_start = 5, first.l_len = 5;
  result("half let go", fcntl(fd, F_SETLK, &first));
  say("the other half", "%d", in_child(try_range));
  close(open("lock", O_RDONLY));
  say("all are gone with any close", "%d", in_child(try_range));
  struct flock description = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
  result("of the description", fcntl(fd, F_OFD_SETLK, &description));
  int other = open("lock", O_RDWR);
  result("another description", fcntl(other, F_OFD_SETLK, &description));
  close(other), close(fd);
  fd = open("lock", O_RDWR);
  flock(fd, LOCK_EX);
  fflush(stdout);
  pid_t waiting = fork();
  if (waiting == 0) _exit(wait_for_lock());
  usleep(200000);
  flock(fd, LOCK_UN);
  int status = -1;
  waitpid(waiting, &status, 0);
  say("one who waits gets it", "%d", status);
  close(fd);
}

static int touch_beyond(void) {
  int fd = open("map", O_RDWR);
  volatile char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (ftruncate(fd, 10) < 0) return 1;
  return map[5000];
}
static int write_shared(void) {
  char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, open("map", O_RDWR), 0);
  memcpy(map + 4096, "child", 5);
  return msync(map, 8192, MS_SYNC);
}

static void maps(void) {
  int fd = put("map", "");
  result("grow", ftruncate(fd, 8192));
  char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  say("shared", "%s", shared == MAP_FAILED ? strerrorname_np(errno) : "yes");
  if (shared == MAP_FAILED) return;
  char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  memcpy(shared, "by map", 6);
  result("msync", msync(shared, 8192, MS_SYNC));
  char buffer[16] = "";
  pread(fd, buffer, 6, 0);
  say("read sees it", "%s", buffer);
  pwrite(fd, "by write", 8, 100);
  say("the map sees a write", "%.8s", shared + 100);
  memcpy(private + 200, "private", 7);
  say("a private one stays so", "%d", shared[200]);
  say("another process", "%d", in_child(write_shared));
  say("is seen", "%.5s", shared + 4096);
  munmap(shared, 8192), munmap(private, 8192);
  int reading = open("map", O_RDONLY);
  say("a reader maps to write", "%s", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, reading, 0) == MAP_FAILED ? strerrorname_np(errno) : "yes");
  close(reading), close(fd);
  say("beyond the end", "%d", in_child(touch_beyond));
}

static void space(void) {
  int fd = put("sparse", "");
  result("a hole of 1 GiB", pwrite(fd, "end", 3, 1 << 30));
  struct stat a;
  fstat(fd, &a);
  say("takes little", "%d", a.st_blocks < 1024);
  result("data", lseek(fd, 0, SEEK_DATA) >= 4096);
  result("hole", lseek(fd, 0, SEEK_HOLE));
  result("hole at the end", lseek(fd, 1 << 30, SEEK_HOLE));
  result("data beyond", lseek(fd, (1 << 30) + 3, SEEK_DATA));
  ftruncate(fd, 0);
  result("fallocate", fallocate(fd, 0, 0, 65536));
  fstat(fd, &a);
  say("size", "%lld enough blocks %d", (long long)a.st_size, a.st_blocks >= 128);
  result("keep size", fallocate(fd, FALLOC_FL_KEEP_SIZE, 65536, 65536));
  fstat(fd, &a);
  say("size", "%lld", (long long)a.st_size);
  pwrite(fd, "xxxx", 4, 8192);
  result("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096));
  char buffer[4];
  pread(fd, buffer, 4, 8192);
  say("punched", "%d", buffer[0]);
  result("nonsense", fallocate(fd, 0, 0, 0));
  int folder = open(".", O_RDONLY);
  result("of a folder", fallocate(folder, 0, 0, 10));
  close(folder);
  int source = open("many", O_RDONLY), target = put("copy", "");
  loff_t at = 0;
  result("copy_file_range", copy_file_range(source, &at, target, NULL, 1100, 0));
  result("sendfile", sendfile(target, source, NULL, 1100));
  state("copied", "copy");
  close(source), close(target), close(fd);
  struct statvfs all;
  result("statvfs", statvfs(".", &all));
  say("longest name", "%lu", all.f_namemax);
}

static void times(void) {
  int fd = put("t", "x");
  struct timespec set[2] = {{1234567890, 123456789}, {987654321, 999999999}};
  struct stat a, b;
  result("set", futimens(fd, set));
  fstat(fd, &a);
  say("times", "%ld.%09ld %ld.%09ld", a.st_atim.tv_sec, a.st_atim.tv_nsec, a.st_mtim.tv_sec, a.st_mtim.tv_nsec);
  set[0].tv_nsec = UTIME_OMIT, set[1].tv_nsec = UTIME_NOW;
  result("one now, one left", futimens(fd, set));
  fstat(fd, &a);
  say("left", "%ld now %d", a.st_atim.tv_sec, a.st_mtim.tv_sec > 1500000000);
  set[1] = (struct timespec){-100, 0};
  result("before 1970", futimens(fd, set));
  fstat(fd, &a);
  say("it is", "%ld", a.st_mtim.tv_sec);
  usleep(20000);
  write(fd, "y", 1);
  fstat(fd, &b);
  say("a write changes it", "%d", b.st_mtim.tv_sec > a.st_mtim.tv_sec && b.st_ctim.tv_sec >= a.st_ctim.tv_sec);
  usleep(20000);
  fstat(fd, &a), fchmod(fd, 0600), fstat(fd, &b);
  say("chmod changes ctime alone", "%d", (b.st_ctim.tv_sec > a.st_ctim.tv_sec || b.st_ctim.tv_nsec > a.st_ctim.tv_nsec) && b.st_mtim.tv_nsec == a.st_mtim.tv_nsec);
  stat(".", &a), usleep(20000), put_closed("t2", ""), stat(".", &b);
  say("a new name changes its folder", "%d", b.st_mtim.tv_sec > a.st_mtim.tv_sec || b.st_mtim.tv_nsec > a.st_mtim.tv_nsec);
  set[0].tv_nsec = 1000000000;
  result("a nonsense time", futimens(fd, set));
  close(fd);
}

static int become(void) { return setgroups(0, NULL) < 0 || setgid(1000) < 0 || setuid(1000) < 0; }
static int as_another(void) {
  if (become()) return 1;
  made("read of 0600", open("private", O_RDONLY));
  made("write of 0644", open("public", O_WRONLY));
  close(made("read of 0644", open("public", O_RDONLY)));
  made("create in 0755", open("new", O_CREAT | O_WRONLY, 0644));
  result("chmod of another's", chmod("public", 0777));
  result("chown of another's", chown("public", 1000, 1000));
  result("times of another's", utimensat(AT_FDCWD, "public", NULL, 0));
  result("access", faccessat(AT_FDCWD, "private", R_OK, AT_EACCESS));
  result("sticky: unlink another's", unlink("sticky/theirs"));
  int fd = made("create in the open one", open("sticky/ours", O_CREAT | O_RDWR, 04755));
  state("it is ours", "sticky/ours");
  result("write to set-user-ID", write(fd, "x", 1));
  state("the bit is gone", "sticky/ours");
  result("chmod of ours", chmod("sticky/ours", 0600));
  result("a group that is not ours", chown("sticky/ours", -1, 5));
  result("to nobody", chown("sticky/ours", 65534, -1));
  result("unlink ours", unlink("sticky/ours"));
  result("attribute of another's", setxattr("public", "user.x", "v", 1, 0));
  result("below a closed folder", open("closed/file", O_RDONLY));
  result("list of a closed folder", open("closed", O_RDONLY));
  result("trusted attributes", setxattr("sticky/theirs", "trusted.x", "v", 1, 0));
  close(fd);
  return 0;
}

static void permissions(void) {
  umask(0);
  close(open("private", O_CREAT | O_WRONLY, 0600));
  put_closed("public", "text");
  chmod("public", 0644), chmod(".", 0755);
  mkdir("sticky", 01777), put_closed("sticky/theirs", ""), mkdir("closed", 0700), put_closed("closed/file", "");
  chmod("sticky", 01777);
  state("sticky", "sticky");
  result("another user", in_child(as_another));
  result("chown", chown("public", 1000, 1001));
  state("theirs", "public");
  result("set-user-ID", chmod("public", 06755));
  state("set", "public");
  result("chown takes it off", chown("public", 0, 0));
  state("off", "public");
  chmod("public", 04755);
  result("truncate as root", truncate("public", 1));
  symlink("public", "soft");
  result("owner of a link", lchown("soft", 1000, 1000));
  state("the link", "soft");
  state("not what it names", "public");
  umask(022);
}

static int speak(void) {
  int fd = open("fifo", O_WRONLY);
  return write(fd, "through", 7) == 7 ? 0 : 1;
}
static int call(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write(fd, "called", 6) == 6 ? 0 : 1;
}
static int run_it(void) {
  execl("./program", "program", "--yes", NULL);
  return 1;
}

static void nodes(char *self) {
  char buffer[16] = "";
  result("fifo", mkfifo("fifo", 0644));
  state("a fifo", "fifo");
  fflush(stdout);
  pid_t speaker = fork();
  if (speaker == 0) _exit(speak());
  int fd = open("fifo", O_RDONLY);
  result("through it", read(fd, buffer, 7));
  waitpid(speaker, NULL, 0);
  close(fd);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  result("bind", bind(listener, (struct sockaddr *)&address, sizeof address));
  state("a socket", "socket");
  listen(listener, 1);
  say("connect", "%d", in_child(call));
  memset(buffer, 0, sizeof buffer);
  fd = accept(listener, NULL, NULL);
  result("from it", read(fd, buffer, sizeof buffer));
  close(fd), close(listener);
  result("open of a socket", open("socket", O_RDONLY));
  result("bind again", bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
  result("a device", mknod("device", S_IFCHR | 0666, makedev(1, 3)));
  int source = open(self, O_RDONLY), target = open("program", O_CREAT | O_WRONLY, 0755);
  struct stat a;
  fstat(source, &a);
  say("copied", "%d", sendfile(target, source, NULL, a.st_size) == a.st_size);
  say("busy while it is written", "%d", in_child(run_it));
  close(target), close(source);
  say("run", "%d", in_child(run_it));
  chmod("program", 0644);
  say("not executable", "%d", in_child(run_it));
}

/* megabytes in odd pieces, there and back */
static void bulk(void) {
  enum { PIECE = 70001, PIECES = 60 };
  static unsigned char out[PIECE], in[PIECE];
  int fd = put("bulk", "");
  unsigned long wrote = 5381, back = 5381;
  for (int i = 0; i < PIECES; i++) {
    for (int at = 0; at < PIECE; at++) out[at] = (unsigned char)(at * 31 + i * 7 + (at >> 8));
    for (int at = 0; at < PIECE; at++) wrote = wrote * 33 + out[at];
    if (write(fd, out, PIECE) != PIECE) say("short write", "%d", i);
  }
  lseek(fd, 0, SEEK_SET);
  for (ssize_t length; (length = read(fd, in, 12345)) > 0;)
    for (ssize_t at = 0; at < length; at++) back = back * 33 + in[at];
  say("megabytes", "%d", wrote == back);
  state("bulk", "bulk");
  close(fd);
}

/* `posix FOLDER ro`: everything that changes something */
static void read_only(void) {
  content("read", "file");
  made("open to write", open("file", O_RDWR));
  made("create", open("new", O_CREAT | O_WRONLY, 0600));
  made("without a name", open(".", O_TMPFILE | O_RDWR, 0600));
  result("truncate", truncate("file", 0));
  result("unlink", unlink("file"));
  result("mkdir", mkdir("d", 0700));
  result("rmdir", rmdir("dir"));
  result("rename", rename("file", "other"));
  result("link", link("file", "other"));
  result("symlink", symlink("file", "other"));
  result("mkfifo", mkfifo("fifo", 0600));
  result("chmod", chmod("file", 0600));
  result("chown", chown("file", 1, 1));
  result("utimes", utimensat(AT_FDCWD, "file", NULL, 0));
  result("setxattr", setxattr("file", "user.x", "v", 1, 0));
  result("access", access("file", W_OK));
  char *map = mmap(NULL, 4, PROT_READ, MAP_SHARED, open("file", O_RDONLY), 0);
  say("mapped", "%.4s", map == MAP_FAILED ? "no" : map);
}

/* `posix FOLDER full`: a file system of 1 MiB */
static void full(void) {
  static char block[65536];
  int fd = put("filler", "");
  long total = 0, length;
  while ((length = write(fd, block, sizeof block)) > 0) total += length;
  say("in the end", "%s", strerrorname_np(errno));
  say("a megabyte or so", "%d", total > 500000 && total <= 1 << 20);
  result("fallocate", fallocate(fd, 0, 0, 4 << 20));
  result("fsync", fsync(fd));
  result("make room", ftruncate(fd, 65536));
  result("write again", pwrite(fd, block, sizeof block, 65536));
  close(fd);
  result("unlink", unlink("filler"));
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "--yes") == 0) return 42;
  char self[PATH_MAX];
  if (count < 2 || !realpath("/proc/self/exe", self) || chdir(arguments[1]) < 0) return perror(arguments[1]), 2;
  signal(SIGPIPE, SIG_IGN);
  if (count > 2 && strcmp(arguments[2], "ro") == 0) return read_only(), 0;
  if (count > 2 && strcmp(arguments[2], "full") == 0) return full(), 0;
  void (*const parts[])(void) = {files, append, links, names, folders, large_folder, renames, unlinked, attributes, locks, maps, space, times, permissions, bulk};
  const char *const titles[] = {"files", "append", "links", "names", "folders", "large folder", "renames", "unlinked", "attributes", "locks", "maps", "space", "times", "permissions", "bulk"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    printf("== %s\n", titles[i]);
    parts[i]();
    fflush(stdout);
  }
  printf("== nodes\n");
  nodes(self);
  return 0;
}
