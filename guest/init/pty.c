/* Opens the container's terminal in its own devpts, and passes the master to the parent. */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PTMX "/dev/pts/ptmx"

/* Only devpts has a ptmx (5:2) that makes terminals of this instance; an image's own node or link there is refused. */
static int open_ptmx(struct run *run) {
  struct statfs fs;
  struct stat stat;
  unsigned flags = run->root < 0 ? STEP_NO_SYMLINKS : STEP_IN_ROOT | STEP_NO_SYMLINKS;
  int probe = resolve(run, PTMX, flags, CREATE_NOTHING, NULL);
  if (probe < 0) fail(run, "openat2", PTMX);
  if (fstatfs(probe, &fs) < 0 || fstat(probe, &stat) < 0) fail(run, "fstat", PTMX);
  if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(5, 2)) fail_with(run, ENODEV, DETAIL_NOT_EXPECTED_FILE, "openat2", PTMX);
  close(probe);
  int master = resolve_open(run, PTMX, flags, O_RDWR | O_NOCTTY, 0);
  if (master < 0) fail(run, "openat2", PTMX);
  return master;
}

void do_open_pty(struct run *run) {
  const struct step *step = &run->step;
  int master = open_ptmx(run), unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) fail(run, "ioctl(TIOCSPTLCK)", PTMX);
  /* The slave is opened by descriptor, not by a name in /dev/pts (Linux 4.13). */
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) fail(run, "ioctl(TIOCGPTPEER)", PTMX);
  struct winsize size = {.ws_col = (unsigned short)step->number[0], .ws_row = (unsigned short)step->number[1]};
  if ((size.ws_col || size.ws_row) && ioctl(slave, TIOCSWINSZ, &size) < 0) fail(run, "ioctl(TIOCSWINSZ)", PTMX);
  if (step->flags & STEP_CONSOLE) {
    int console = resolve(run, "/dev/console", STEP_IN_ROOT | STEP_NO_SYMLINKS, CREATE_FILE, NULL);
    if (console < 0) fail(run, "openat2", "/dev/console");
    if (bind_fd(slave, console, false, 0) < 0) fail(run, "move_mount", "/dev/console");
    close(console);
  }
  tell_pty(run, master);
  close(master);
  if (setsid() < 0 && errno != EPERM) fail(run, "setsid", NULL); /* EPERM: the process is a session leader already */
  if (ioctl(slave, TIOCSCTTY, 0) < 0) fail(run, "ioctl(TIOCSCTTY)", NULL);
  for (int fd = 0; fd < 3; fd++)
    if (dup2(slave, fd) < 0) fail(run, "dup2", NULL);
  close(slave);
}
