/* Folders, links, nodes, owners, modes and small files, mostly below the container's root (resolve.c). */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int open_parent(struct run *run, const char *path, char name[256]) {
  int folder = resolve_parent(run, path, run->step.flags, name);
  if (folder < 0) fail(run, "openat2", path);
  return folder;
}

void do_mkdir(struct run *run) {
  char name[256];
  const char *path = run->step.string[0];
  int folder = open_parent(run, path, name);
  if (mkdirat(folder, name, (mode_t)run->step.number[0]) < 0 && errno != EEXIST) fail(run, "mkdirat", path);
  close(folder);
}

void do_symlink(struct run *run) {
  char name[256];
  const char *path = run->step.string[1];
  int folder = open_parent(run, path, name);
  if (symlinkat(run->step.string[0], folder, name) < 0 && errno != EEXIST) fail(run, "symlinkat", path);
  close(folder);
}

void do_mknod(struct run *run) {
  char name[256];
  const struct step *step = &run->step;
  int folder = open_parent(run, step->string[0], name);
  dev_t device = makedev((unsigned)step->number[1], (unsigned)step->number[2]);
  mode_t mode = (mode_t)step->number[0];
  /* An empty file need only exist: the image's own is not touched, nor is a link followed. */
  if (mknodat(folder, name, mode, device) < 0 && !(errno == EEXIST && S_ISREG(mode))) fail(run, "mknodat", step->string[0]);
  close(folder);
}

static int open_existing(struct run *run) {
  int fd = resolve(run, run->step.string[0], run->step.flags, CREATE_NOTHING, NULL);
  if (fd < 0) fail(run, "openat2", run->step.string[0]);
  return fd;
}

void do_chown(struct run *run) {
  int fd = open_existing(run);
  if (fchownat(fd, "", (uid_t)run->step.number[0], (gid_t)run->step.number[1], AT_EMPTY_PATH) < 0) fail(run, "fchownat", run->step.string[0]);
  close(fd);
}

/*
 * Changes the mode of a device or a FIFO by its name in its folder: fchmod(2) refuses O_PATH, and opening such a file
 * has effects.
 */
static void chmod_special(struct run *run, const char *path, mode_t mode) {
  char name[256];
  struct stat stat;
  int folder = open_parent(run, path, name);
  if (fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0) fail(run, "fstatat", path);
  if (S_ISLNK(stat.st_mode)) fail_with(run, ELOOP, DETAIL_NONE, "fchmodat", path);
  if (fchmodat(folder, name, mode, 0) < 0) fail(run, "fchmodat", path);
  close(folder);
}

void do_chmod(struct run *run) {
  const char *path = run->step.string[0];
  mode_t mode = (mode_t)run->step.number[0] & 07777;
  struct stat stat;
  int probe = open_existing(run);
  if (fstat(probe, &stat) < 0) fail(run, "fstat", path);
  close(probe);
  if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) {
    chmod_special(run, path, mode);
    return;
  }
  int fd = resolve_open(run, path, run->step.flags, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0 || fchmod(fd, mode) < 0) fail(run, "fchmod", path);
  close(fd);
}

static bool starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

/* Opens the file, and with STEP_CREATE makes it and the folders on the way to it. */
static int open_for_writing(struct run *run) {
  const struct step *step = &run->step;
  const char *path = step->string[0];
  int open_flags = O_WRONLY | O_NOCTTY | O_NONBLOCK;
  if (!(step->flags & STEP_CREATE)) return resolve_open(run, path, step->flags, open_flags, 0);
  mode_t mode = (mode_t)step->number[0] & 07777;
  int fd = resolve_open(run, path, step->flags, open_flags | O_CREAT | O_TRUNC, mode);
  if (fd >= 0 || errno != ENOENT) return fd;
  bool created;
  int made = resolve(run, path, step->flags, CREATE_FILE, &created);
  if (made < 0) return -1;
  close(made);
  fd = resolve_open(run, path, step->flags, open_flags, 0);
  if (fd >= 0 && created && fchmod(fd, mode) < 0) fail(run, "fchmod", path);
  return fd;
}

void do_write_file(struct run *run) {
  const struct step *step = &run->step;
  const char *path = step->string[0];
  int fd = open_for_writing(run);
  if (fd < 0) fail(run, "openat2", path);
  struct statfs fs;
  /* A sysctl meant for the kernel must not be written to a file that an image put there. */
  if (starts_with(path, "/proc/") && (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)) fail_with(run, EXDEV, DETAIL_NOT_EXPECTED_FILE, "openat2", path);
  ssize_t written = write(fd, step->blob.data, step->blob.length);
  if (written < 0) fail(run, "write", path);
  if ((uint32_t)written != step->blob.length) fail_with(run, EIO, DETAIL_NONE, "write", path);
  close(fd);
}

void do_chdir(struct run *run) {
  const struct step *step = &run->step;
  const char *path = step->string[0];
  bool created = false;
  int fd = resolve(run, path, 0, step->flags & STEP_CREATE ? CREATE_DIRECTORY : CREATE_NOTHING, &created);
  if (fd < 0) fail(run, "chdir", path);
  if (created && fchownat(fd, "", (uid_t)step->number[0], (gid_t)step->number[1], AT_EMPTY_PATH) < 0) fail(run, "fchownat", path);
  if (fchdir(fd) < 0) fail(run, "chdir", path);
  close(fd);
  /* A folder outside the root, reached by a leaked descriptor (CVE-2024-21626), has no path: getcwd(3) says ENOENT. */
  char here[PATH_MAX];
  if (!getcwd(here, sizeof here) && errno != ERANGE) fail(run, "getcwd", path);
}
