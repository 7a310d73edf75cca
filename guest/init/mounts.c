/*
 * Mounts. A target in the container's root is held by a descriptor while it is mounted on, so that no symbolic link of
 * the image is followed out of the root, and no /proc is needed. A mount gets every attribute while it is still
 * detached, and only then its place: a target may lie in a volume that another container changes at this moment, and a
 * path looked up a second time may lead to another mount, which would then be made read-only instead of the intended
 * one. Binds are open_tree(2), new file systems fsopen(2) and fsmount(2); then mount_setattr(2) and move_mount(2).
 * Needs Linux 5.12.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* linux/mount.h, Linux 5.10 */
#endif

void do_set_root(struct run *run) {
  const char *path = run->step.string[0];
  int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) fail(run, "open", path);
  if (run->root >= 0) close(run->root);
  run->root = root;
}

/* Turns the per-mount flags of mount(2) into attributes of mount_setattr(2). */
static struct mount_attr attributes_of(uint64_t flags) {
  static const struct {
    uint64_t flag, attribute;
  } MAP[] = {
    {MS_RDONLY, MOUNT_ATTR_RDONLY}, {MS_NOSUID, MOUNT_ATTR_NOSUID},         {MS_NODEV, MOUNT_ATTR_NODEV},
    {MS_NOEXEC, MOUNT_ATTR_NOEXEC}, {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME}, {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
  };
  struct mount_attr attributes = {0};
  for (size_t i = 0; i < sizeof MAP / sizeof *MAP; i++)
    if (flags & MAP[i].flag) attributes.attr_set |= MAP[i].attribute;
  if (flags & (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)) {
    attributes.attr_clr = MOUNT_ATTR__ATIME; /* the three modes share a field, which must be cleared first */
    if (flags & MS_NOATIME) attributes.attr_set |= MOUNT_ATTR_NOATIME;
    else if (flags & MS_STRICTATIME) attributes.attr_set |= MOUNT_ATTR_STRICTATIME;
  }
  return attributes;
}

static bool is_empty(const struct mount_attr *attributes) { return !attributes->attr_set && !attributes->attr_clr && !attributes->propagation; }

static int set_attributes(int fd, bool recursive, struct mount_attr *attributes) {
  if (is_empty(attributes)) return 0;
  return mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u), attributes, sizeof *attributes);
}

int bind_fd(int source, int target, bool recursive, uint64_t set) {
  int tree = open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u));
  if (tree < 0) return -1;
  struct mount_attr attributes = {.attr_set = set};
  int result = set_attributes(tree, recursive, &attributes);
  if (result == 0) result = move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  int error = errno;
  close(tree);
  errno = error;
  return result;
}

static int open_target_as(struct run *run, int create, bool *created) {
  const struct step *step = &run->step;
  int target = resolve(run, step->string[1], step->flags, create, created);
  if (target < 0) fail(run, "openat2", step->string[1]);
  return target;
}

/* created: tells whether the target had to be made; may be NULL */
static int open_target(struct run *run, bool *created) {
  unsigned flags = run->step.flags;
  return open_target_as(run, flags & STEP_CREATE_DIRECTORY ? CREATE_DIRECTORY : flags & STEP_CREATE_FILE ? CREATE_FILE : CREATE_NOTHING, created);
}

/*
 * Opens the target of a bind mount. A missing one is made as a folder or a file like `tree`, whatever the source's path
 * leads to by now.
 */
static int open_target_for(struct run *run, int tree) {
  struct stat stat;
  if (!(run->step.flags & STEP_CREATE_LIKE_SOURCE)) return open_target(run, NULL);
  if (fstat(tree, &stat) < 0) fail(run, "fstat", run->step.string[0]);
  return open_target_as(run, S_ISDIR(stat.st_mode) ? CREATE_DIRECTORY : CREATE_FILE, NULL);
}

/* Sets what the step says beyond mount(2)'s flags, on a tree that no other process can reach yet. */
static void prepare_tree(struct run *run, int tree) {
  const struct step *step = &run->step;
  struct mount_attr own = {.attr_set = step->number[1], .attr_clr = step->number[2]};
  struct mount_attr all = {.attr_set = step->number[3], .attr_clr = step->number[4]};
  if (set_attributes(tree, false, &own) < 0 || set_attributes(tree, true, &all) < 0) fail(run, "mount_setattr", step->string[1]);
  for (uint32_t i = 0, offset = 0; i < step->blob.count; i++) {
    uint32_t flags = list_number(&step->blob, &offset);
    struct mount_attr propagation = {.propagation = flags & PROPAGATION};
    if (set_attributes(tree, flags & MS_REC, &propagation) < 0) fail(run, "mount_setattr", step->string[1]);
  }
}

static void attach(struct run *run, int tree, int target) {
  if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) fail(run, "move_mount", run->step.string[1]);
  close(target);
  close(tree);
}

/*
 * Opens what is bound: a path of the host, or one beneath it. A container may have put a symbolic link into a volume or
 * renamed a folder there meanwhile: the kernel resolves the whole path in the volume, and refuses a path that leads out
 * of it.
 */
int open_source(struct run *run, const char *source, const char *beneath, unsigned int flags) {
  if (!beneath[0]) {
    int tree = open_tree(AT_FDCWD, source, flags);
    if (tree < 0) fail(run, "open_tree", source);
    return tree;
  }
  int folder = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail(run, "open", source);
  int inner = open_beneath(folder, beneath, O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (inner < 0) fail(run, "openat2", beneath);
  int tree = open_tree(inner, "", flags | AT_EMPTY_PATH);
  if (tree < 0) fail(run, "open_tree", beneath);
  close(inner);
  close(folder);
  return tree;
}

static void bind_mount(struct run *run, uint64_t flags) {
  bool recursive = flags & MS_REC;
  int tree = open_source(run, run->step.string[0], run->step.string[3], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0u));
  struct mount_attr attributes = attributes_of(flags);
  struct mount_attr propagation = {.propagation = flags & PROPAGATION};
  if (set_attributes(tree, false, &attributes) < 0 || set_attributes(tree, recursive, &propagation) < 0) fail(run, "mount_setattr", run->step.string[0]);
  prepare_tree(run, tree);
  attach(run, tree, open_target_for(run, tree));
}

static void change_mount(struct run *run, uint64_t flags) {
  int target = open_target(run, NULL);
  struct mount_attr attributes = attributes_of(flags);
  attributes.propagation = flags & PROPAGATION;
  if (set_attributes(target, flags & MS_REC, &attributes) < 0) fail(run, "mount_setattr", run->step.string[1]);
  close(target);
}

static void move_tree(struct run *run) {
  int target = open_target(run, NULL);
  if (move_mount(AT_FDCWD, run->step.string[0], target, "", MOVE_MOUNT_T_EMPTY_PATH) < 0) fail(run, "move_mount", run->step.string[1]);
  close(target);
}

/* Calls mount(2) on a folder known by descriptor: on "." as the working folder, which is restored afterwards. */
static int mount_on(int target, const char *source, const char *type, uint64_t flags, const char *data) {
  int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fchdir(target) < 0) return -1;
  int result = mount(source, ".", type, flags, data);
  int error = errno;
  if (before < 0 || fchdir(before) < 0) result = chdir("/") < 0 ? -1 : result;
  if (before >= 0) close(before);
  errno = error;
  return result;
}

/* Gives the folder below a tmpfs the mode that the tmpfs has without mode=, so that the next start finds the same. */
static void open_to_all(struct run *run, int folder) {
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fchmod(fd, 01777) < 0) fail(run, "fchmod", run->step.string[1]);
  close(fd);
}

/* Sets mount(2)'s flags of the file system itself, by fsconfig(2)'s names for them. Source: linux fs/fs_context.c */
static int set_flags(int context, uint64_t flags) {
  static const struct {
    uint64_t flag;
    const char *name;
  } MAP[] = {{MS_RDONLY, "ro"}, {MS_SYNCHRONOUS, "sync"}, {MS_DIRSYNC, "dirsync"}, {MS_MANDLOCK, "mand"}, {MS_LAZYTIME, "lazytime"}};
  for (size_t i = 0; i < sizeof MAP / sizeof *MAP; i++)
    if (flags & MAP[i].flag && fsconfig(context, FSCONFIG_SET_FLAG, MAP[i].name, NULL, 0) < 0) return -1;
  return 0;
}

/* Sets the options one by one; a comma before a digit belongs to the option (mpol=bind:0,2), tmpfs(5). */
static int set_options(int context, char *options) {
  while (*(options += strspn(options, ","))) {
    char *end = options + strcspn(options, ",");
    while (*end && end[1] >= '0' && end[1] <= '9') end += 1 + strcspn(end + 1, ",");
    char *next = *end ? end + 1 : end;
    *end = 0;
    char *value = strchr(options, '=');
    if (value) *value++ = 0;
    if (*options && fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options, value, 0) < 0) return -1;
    options = next;
  }
  return 0;
}

/* Returns a mount of a new file system that is not attached yet, or -1 and errno. */
static int detached_file_system(const struct step *step, uint64_t flags, char *options) {
  int context = fsopen(step->string[2], FSOPEN_CLOEXEC), tree = -1;
  if (context < 0) return -1;
  bool is_set = (!step->string[0][0] || fsconfig(context, FSCONFIG_SET_STRING, "source", step->string[0], 0) == 0) && set_flags(context, flags) == 0 && set_options(context, options) == 0;
  if (is_set && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) tree = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attributes_of(flags).attr_set);
  int error = errno;
  close(context);
  errno = error;
  return tree;
}

static void new_file_system(struct run *run, uint64_t flags) {
  const struct step *step = &run->step;
  const char *data = step->string[3];
  uint64_t own = flags & ~(uint64_t)(PROPAGATION | MS_REC);
  bool created = false;
  int target = open_target(run, &created);
  if (!(step->flags & STEP_IN_ROOT)) {
    /*
     * The kernel gets a path of the host as it is: an overlay's relative lowerdir= means the working folder, and
     * fsconfig(2) takes no long value.
     */
    if (mount(step->string[0], step->string[1], step->string[2], own, data[0] ? data : NULL) < 0) fail(run, "mount", step->string[1]);
    close(target);
    return;
  }
  char options[PATH_MAX + 16];
  options[0] = 0;
  if (step->flags & STEP_MODE_FROM_TARGET) {
    struct stat stat;
    if (created) open_to_all(run, target);
    if (fstat(target, &stat) < 0) fail(run, "fstat", step->string[1]);
    snprintf(options, sizeof options, "mode=%o,", stat.st_mode & 07777);
  }
  strncat(options, data, sizeof options - strlen(options) - 1);
  int tree = detached_file_system(step, own, options);
  if (tree < 0) fail(run, "mount", step->string[1]);
  struct mount_attr propagation = {.propagation = flags & PROPAGATION};
  if (set_attributes(tree, flags & MS_REC, &propagation) < 0) fail(run, "mount_setattr", step->string[1]);
  prepare_tree(run, tree);
  attach(run, tree, target);
}

void do_mount(struct run *run) {
  uint64_t flags = run->step.number[0];
  if (flags & MS_REMOUNT && !(flags & MS_BIND)) {
    int target = open_target(run, NULL);
    if (mount_on(target, NULL, NULL, flags, run->step.string[3][0] ? run->step.string[3] : NULL) < 0) fail(run, "mount", run->step.string[1]);
    close(target);
  } else if (flags & MS_REMOUNT) change_mount(run, flags);
  else if (flags & MS_BIND) bind_mount(run, flags);
  else if (flags & MS_MOVE) move_tree(run);
  else if (flags & PROPAGATION && !run->step.string[2][0]) change_mount(run, flags);
  else new_file_system(run, flags);
}

void do_mount_attributes(struct run *run) {
  const struct step *step = &run->step;
  int target = resolve(run, step->string[0], step->flags, CREATE_NOTHING, NULL);
  if (target < 0) fail(run, "openat2", step->string[0]);
  struct mount_attr attributes = {.attr_set = step->number[0], .attr_clr = step->number[1], .propagation = step->number[2]};
  if (set_attributes(target, step->flags & STEP_RECURSIVE, &attributes) < 0) fail(run, "mount_setattr", step->string[0]);
  close(target);
}

void do_umount(struct run *run) {
  const struct step *step = &run->step;
  if (!(step->flags & STEP_IN_ROOT)) {
    if (umount2(step->string[0], (int)step->number[0]) < 0) fail(run, "umount2", step->string[0]);
    return;
  }
  /* umount2 takes no descriptor, and "." is busy unless it is detached. */
  int target = resolve(run, step->string[0], step->flags, CREATE_NOTHING, NULL);
  if (target < 0) fail(run, "openat2", step->string[0]);
  if (fchdir(target) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) fail(run, "umount2", step->string[0]);
  close(target);
}

/*
 * Returns the root's own /dev/null after checking that it is one: an image that puts a link there must not choose what
 * is bound (CVE-2025-31133).
 */
static int null_device(struct run *run) {
  struct stat stat;
  if (run->null_device >= 0) return run->null_device;
  int fd = resolve(run, "/dev/null", STEP_IN_ROOT | STEP_NO_SYMLINKS, CREATE_NOTHING, NULL);
  if (fd < 0) fail(run, "openat2", "/dev/null");
  if (fstat(fd, &stat) < 0 || !S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(1, 3)) fail_with(run, ENODEV, DETAIL_NOT_EXPECTED_FILE, "openat2", "/dev/null");
  return run->null_device = fd;
}

/* Returns -1 for a missing path, which needs no mask. */
static int open_if_present(struct run *run) {
  int target = resolve(run, run->step.string[0], STEP_IN_ROOT, CREATE_NOTHING, NULL);
  if (target < 0 && errno != ENOENT && errno != ENOTDIR) fail(run, "openat2", run->step.string[0]);
  return target;
}

void do_mask_path(struct run *run) {
  const char *path = run->step.string[0];
  struct stat stat;
  int target = open_if_present(run);
  if (target < 0) return;
  if (fstat(target, &stat) < 0) fail(run, "fstat", path);
  if (S_ISDIR(stat.st_mode)) {
    if (mount_on(target, "tmpfs", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0k") < 0) fail(run, "mount", path);
  } else if (bind_fd(null_device(run), target, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) < 0) fail(run, "move_mount", path);
  close(target);
}

void do_readonly_path(struct run *run) {
  int target = open_if_present(run);
  if (target < 0) return;
  if (bind_fd(target, target, true, MOUNT_ATTR_RDONLY) < 0) fail(run, "move_mount", run->step.string[0]);
  close(target);
}

void do_pivot_root(struct run *run) {
  const char *path = run->step.string[0];
  int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0 || root < 0 || fchdir(root) < 0) fail(run, "open", path);
  /*
   * pivot_root(".", ".") stacks the old root over the new one, where it is detached, so that no folder for it is
   * needed, pivot_root(2).
   */
  if (syscall(SYS_pivot_root, ".", ".") < 0) fail(run, "pivot_root", path);
  /*
   * The unmount must not propagate to the host, but the container's own mounts may come from the host later. "." would
   * be the new root, and the volumes in it that were made shared.
   */
  if (fchdir(old) < 0) fail(run, "fchdir", "/");
  if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0) fail(run, "mount", path);
  if (umount2(".", MNT_DETACH) < 0) fail(run, "umount2", path);
  close(root);
  close(old);
  if (run->root >= 0) close(run->root);
  if (chdir("/") < 0) fail(run, "chdir", "/");
  run->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (run->root < 0) fail(run, "open", "/");
}
