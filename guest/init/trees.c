/*
 * Trees that are taken out of the host's mounts first and put to their places afterwards, so that nothing a plan mounts
 * in between can cover what it still needs (src/rootless/reach.ts). Descriptors hold the trees as open_tree(2) clones
 * them: detached, in no mount namespace.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void do_hold_tree(struct run *run) {
  const struct step *step = &run->step;
  int *tree = &run->trees[step->number[0]];
  if (*tree) fail_with(run, EINVAL, DETAIL_BAD_PLAN, "open_tree", "a tree is held there already");
  unsigned recursive = step->flags & STEP_RECURSIVE ? AT_RECURSIVE : 0u;
  *tree = 1 + open_source(run, step->string[0], step->string[1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
}

void do_place_tree(struct run *run) {
  const struct step *step = &run->step;
  const char *path = step->string[0];
  int *tree = &run->trees[step->number[0]];
  if (!*tree) fail_with(run, EINVAL, DETAIL_BAD_PLAN, "move_mount", "no tree is held there");
  struct stat stat;
  if (fstat(*tree - 1, &stat) < 0) fail(run, "fstat", path);
  /* A missing target is made like the tree, as a folder or a file, together with the folders above it. */
  int target = resolve(run, path, step->flags, S_ISDIR(stat.st_mode) ? CREATE_DIRECTORY : CREATE_FILE, NULL);
  if (target < 0) fail(run, "openat2", path);
  if (move_mount(*tree - 1, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) fail(run, "move_mount", path);
  close(target);
  close(*tree - 1);
  *tree = 0;
}
