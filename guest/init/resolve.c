/*
 * Resolves paths below the container's root, where every component may be hostile: symbolic links to /, to .. or to
 * nowhere, changed during the lookup. openat2(2) with RESOLVE_IN_ROOT makes the kernel stay inside; what is missing is
 * created component by component, each in a folder held by a descriptor that openat2 gave. Nothing here goes through
 * /proc.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_LINKS 40 /* the kernel's MAXSYMLINKS, path_resolution(7) */

/* src/host/files/lookup.ts says why so many: so many failures in a row do not happen. */
#define LOOKUPS 1000

/*
 * openat2(2), repeated while it says EAGAIN: anything on this host was renamed or mounted, by any process, while a ".."
 * was looked up.
 */
int open_beneath(int base, const char *path, int flags, mode_t mode, uint64_t how_to_resolve) {
  struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC, .mode = mode, .resolve = how_to_resolve};
  int fd;
  for (int lookup = 0; lookup < LOOKUPS; lookup++) {
    fd = (int)syscall(SYS_openat2, base, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

static uint64_t resolution(unsigned flags) {
  uint64_t how = 0;
  if (flags & STEP_IN_ROOT) how |= RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  if (flags & STEP_NO_SYMLINKS) how |= RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return how;
}

static int base_of(struct run *run, unsigned flags) {
  if (!(flags & STEP_IN_ROOT)) return AT_FDCWD;
  if (run->root < 0) fail_with(run, EINVAL, DETAIL_BAD_PLAN, "openat2", "in-root path before setRoot");
  return run->root;
}

int resolve_open(struct run *run, const char *path, unsigned flags, int open_flags, mode_t mode) {
  return open_beneath(base_of(run, flags), path, open_flags, mode, resolution(flags));
}

/* A path being walked: `done` is the part behind (no links, no dots), `rest` the part ahead. */
struct walk {
  int base;
  char done[PATH_MAX];
  char rest[PATH_MAX];
  unsigned links;
};

static int open_done(const struct walk *walk) {
  return open_beneath(walk->base, walk->done[0] ? walk->done : ".", O_PATH | O_DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* Cuts the next component off `rest`; false at the end. */
static bool next_component(struct walk *walk, char name[NAME_MAX + 1], bool *last) {
  char *at = walk->rest + strspn(walk->rest, "/");
  if (!*at) return false;
  size_t length = strcspn(at, "/");
  if (length > NAME_MAX) length = NAME_MAX; /* the kernel then says ENAMETOOLONG or ENOENT; never a longer name */
  memcpy(name, at, length);
  name[length] = 0;
  at += length;
  *last = at[strspn(at, "/")] == 0;
  memmove(walk->rest, at, strlen(at) + 1);
  return true;
}

static int step_over_link(struct walk *walk, int link) {
  char target[PATH_MAX], rest[PATH_MAX];
  ssize_t length = readlinkat(link, "", target, sizeof target - 1);
  if (length < 0) return -1;
  target[length] = 0;
  if (++walk->links > MAX_LINKS) return errno = ELOOP, -1;
  if (snprintf(rest, sizeof rest, "%s/%s", target, walk->rest) >= (int)sizeof rest) return errno = ENAMETOOLONG, -1;
  memcpy(walk->rest, rest, sizeof rest);
  if (target[0] == '/') walk->done[0] = 0;
  return 0;
}

static int step_into(struct walk *walk, const char *name) {
  size_t have = strlen(walk->done), more = strlen(name);
  if (have + more + 2 > sizeof walk->done) return errno = ENAMETOOLONG, -1;
  if (have) walk->done[have++] = '/';
  memcpy(walk->done + have, name, more + 1);
  return 0;
}

static void step_back(struct walk *walk) {
  char *slash = strrchr(walk->done, '/');
  *(slash ? slash : walk->done) = 0;
}

static int make(int folder, const char *name, int create) {
  if (create == CREATE_DIRECTORY) return mkdirat(folder, name, 0755);
  int file = openat(folder, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (file >= 0) close(file);
  return file < 0 ? -1 : 0;
}

/* Opens one component without following it, and makes it when it is missing. */
static int open_or_make(int folder, const char *name, int create, bool *created) {
  for (int attempt = 0; attempt < 100; attempt++) {
    int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || create == CREATE_NOTHING) return fd;
    if (make(folder, name, create) == 0) *created = true;
    else if (errno != EEXIST) return -1;
  }
  return -1;
}

static int walk_and_make(struct walk *walk, unsigned flags, int create, bool *created) {
  char name[NAME_MAX + 1];
  bool last = true;
  while (next_component(walk, name, &last)) {
    if (strcmp(name, ".") == 0) continue;
    if (strcmp(name, "..") == 0) {
      step_back(walk);
      continue;
    }
    int folder = open_done(walk);
    if (folder < 0) return -1;
    *created = false;
    int fd = open_or_make(folder, name, last ? create : CREATE_DIRECTORY, created);
    int error = errno;
    close(folder);
    if (fd < 0) return errno = error, -1;
    struct stat stat;
    if (fstat(fd, &stat) < 0) return close(fd), -1;
    if (S_ISLNK(stat.st_mode)) {
      int stepped = flags & STEP_NO_SYMLINKS ? (errno = ELOOP, -1) : step_over_link(walk, fd);
      error = errno;
      close(fd);
      if (stepped < 0) return errno = error, -1;
      continue;
    }
    if (step_into(walk, name) < 0) return close(fd), -1;
    if (last) return fd;
    close(fd);
  }
  return open_done(walk);
}

int resolve(struct run *run, const char *path, unsigned flags, int create, bool *created) {
  bool is_new = false;
  int base = base_of(run, flags);
  int fd = open_beneath(base, path, O_PATH, 0, resolution(flags));
  if (fd < 0 && errno == ENOENT && create != CREATE_NOTHING) {
    struct walk walk = {.base = base, .links = 0};
    /* A path of the host is walked from / (or from the working folder) with the same care. */
    if (base == AT_FDCWD) walk.base = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    memcpy(walk.rest, path, strlen(path) + 1); /* plan.c: shorter than PATH_MAX */
    fd = walk_and_make(&walk, flags, create, &is_new);
    int error = errno;
    if (base == AT_FDCWD) close(walk.base);
    errno = error;
  }
  if (created) *created = is_new;
  return fd;
}

int resolve_parent(struct run *run, const char *path, unsigned flags, char name[256]) {
  char folder[PATH_MAX];
  memcpy(folder, path, strlen(path) + 1);
  size_t length = strlen(folder);
  while (length > 1 && folder[length - 1] == '/') folder[--length] = 0;
  char *slash = strrchr(folder, '/');
  const char *last = slash ? slash + 1 : folder;
  if (!*last || strlen(last) > NAME_MAX || strcmp(last, ".") == 0 || strcmp(last, "..") == 0) return errno = EINVAL, -1;
  memcpy(name, last, strlen(last) + 1);
  if (!slash) folder[0] = '.', folder[1] = 0;
  else if (slash == folder) folder[1] = 0;
  else *slash = 0;
  return resolve(run, folder, flags, CREATE_DIRECTORY, NULL);
}
