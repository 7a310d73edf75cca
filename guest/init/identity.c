/* Sets who the process is: ids, capabilities, seccomp. */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAST_CAPABILITY 63 /* the last bit of a 64-bit mask; the kernel says EINVAL above its own last capability */

static int get_capabilities(struct __user_cap_data_struct data[2]) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return (int)syscall(SYS_capget, &header, data);
}

static int set_capabilities(const struct __user_cap_data_struct data[2]) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return (int)syscall(SYS_capset, &header, data);
}

/* setresuid to a non-root uid empties the effective set, which the plan still needs until `capabilities`. */
static void raise_permitted(struct run *run) {
  struct __user_cap_data_struct data[2];
  if (get_capabilities(data) < 0) fail(run, "capget", NULL);
  data[0].effective = data[0].permitted;
  data[1].effective = data[1].permitted;
  if (set_capabilities(data) < 0) fail(run, "capset", NULL);
}

/* With `docker run -u app IMAGE sh -c 'echo > /dev/stdout'` the user must be able to reopen the pipe or terminal. */
static void chown_stdio(uid_t uid) {
  struct stat stat;
  for (int fd = 0; fd < 3; fd++) {
    if (fstat(fd, &stat) < 0 || !(S_ISFIFO(stat.st_mode) || isatty(fd))) continue;
    if (fchown(fd, uid, (gid_t)-1) < 0) continue; /* an owner that is not mapped here stays, as in runc */
  }
}

void do_chown_stdio(struct run *run) {
  run->chown_stdio = true;
  chown_stdio(geteuid());
}

void become(struct run *run, uid_t uid) {
  if (run->chown_stdio) chown_stdio(uid);
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) fail(run, "prctl(PR_SET_KEEPCAPS)", NULL);
  if (setresuid(uid, uid, uid) < 0) fail(run, "setresuid", NULL);
  raise_permitted(run);
  arm_parent_death(run);
}

void do_setgroups(struct run *run) {
  static gid_t groups[PLAN_MAX_GROUPS];
  uint32_t offset = 0, count = run->step.blob.count;
  for (uint32_t i = 0; i < count; i++) groups[i] = list_number(&run->step.blob, &offset);
  if (setgroups(count, groups) < 0) fail(run, "setgroups", NULL);
}

void do_setgid(struct run *run) {
  gid_t gid = (gid_t)run->step.number[0];
  if (setresgid(gid, gid, gid) < 0) fail(run, "setresgid", NULL);
  arm_parent_death(run);
}

void do_setuid(struct run *run) { become(run, (uid_t)run->step.number[0]); }

static bool has(uint64_t mask, unsigned capability) { return mask >> capability & 1; }

static void drop_bounding(struct run *run, uint64_t keep) {
  for (unsigned capability = 0; capability <= LAST_CAPABILITY; capability++) {
    if (has(keep, capability) || prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) fail(run, "prctl(PR_CAPBSET_DROP)", NULL);
  }
}

static void set_ambient(struct run *run, uint64_t ambient) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) fail(run, "prctl(PR_CAP_AMBIENT)", NULL);
  for (unsigned capability = 0; capability <= LAST_CAPABILITY; capability++)
    if (has(ambient, capability) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) fail(run, "prctl(PR_CAP_AMBIENT)", NULL);
}

void do_capabilities(struct run *run) {
  uint64_t *mask = run->step.number; /* bounding, effective, permitted, inheritable, ambient */
  if (run->step.flags & STEP_ROOT_ONLY && geteuid() != 0) mask[1] = mask[2] = mask[4];
  drop_bounding(run, mask[0]);
  struct __user_cap_data_struct data[2];
  for (unsigned half = 0; half < 2; half++) {
    data[half].effective = (uint32_t)(mask[1] >> (32 * half));
    data[half].permitted = (uint32_t)(mask[2] >> (32 * half));
    data[half].inheritable = (uint32_t)(mask[3] >> (32 * half));
  }
  if (set_capabilities(data) < 0) fail(run, "capset", NULL);
  set_ambient(run, mask[4]);
  arm_parent_death(run);
}

void do_seccomp(struct run *run) {
  static struct sock_filter filter[PLAN_MAX_FILTER];
  const struct bytes *blob = &run->step.blob;
  memcpy(filter, blob->data, blob->length); /* plan.c: at most PLAN_MAX_FILTER instructions */
  struct sock_fprog program = {.len = (unsigned short)(blob->length / sizeof *filter), .filter = filter};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)run->step.number[0], &program) < 0) fail(run, "seccomp", NULL);
}
