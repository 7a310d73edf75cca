/*
 * Resolves Docker's `--user` against the container's own /etc/passwd and /etc/group, with the rules of Docker's user
 * lookup: a name or a number, optionally `:group`; a number needs no entry; without `:group` the supplementary groups
 * are those that list the user.
 *
 * The two files are the image's, and so hostile: they are resolved in root, must be regular and at most 1 MiB, and
 * fields are taken only from complete lines.
 */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE (1u << 20) /* bytes */
#define MAX_GROUPS 1024u
#define MAX_ID 0x7fffffffu  /* Docker refuses larger numbers */

struct account {
  uid_t uid;
  gid_t gid;
  const char *name; /* name of the matching entry; NULL for a bare number */
  gid_t groups[MAX_GROUPS];
  size_t group_count;
};

/*
 * Returns the whole file with a NUL at its end; "" when it is missing. The text is never freed, because exec follows.
 */
static char *read_database(struct run *run, const char *path) {
  struct stat stat;
  char *text = calloc(1, MAX_FILE + 2);
  if (!text) fail(run, "malloc", path);
  /* O_NONBLOCK: an image's FIFO must not block this process. */
  int fd = resolve_open(run, path, STEP_IN_ROOT, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return text;
  if (fd < 0) fail(run, "openat2", path);
  if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) fail_with(run, EINVAL, DETAIL_NOT_EXPECTED_FILE, "openat2", path);
  size_t have = 0;
  for (;;) {
    ssize_t got = read(fd, text + have, MAX_FILE + 1 - have);
    if (got < 0) fail(run, "read", path);
    if (got == 0) break;
    have += (size_t)got;
    if (have > MAX_FILE) fail_with(run, EFBIG, DETAIL_NONE, "read", path);
  }
  close(fd);
  for (size_t i = 0; i < have; i++)
    if (!text[i]) text[i] = '\n'; /* a NUL must not hide the lines after it */
  return text;
}

/* Cuts the next line off `*text`; NULL at the end. */
static char *next_line(char **text) {
  if (!**text) return NULL;
  char *line = *text;
  size_t length = strcspn(line, "\n");
  *text = line + length + (line[length] ? 1 : 0);
  line[length] = 0;
  return line;
}

/* Splits a line at colons; missing fields are "". */
static void split(char *line, char *fields[], unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    size_t length = strcspn(line, ":");
    fields[i] = line;
    line += length;
    /* The last field ends at a further colon too: passwd(5) and group(5) have none. */
    if (*line) *line++ = 0;
  }
}

/* Parses decimal digits only, as Docker's strconv.Atoi without its sign; false for anything else. */
static bool parse_id(const char *text, unsigned long *id) {
  if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10) return false;
  *id = strtoul(text, NULL, 10);
  return true;
}

static uid_t checked(struct run *run, unsigned long id, const char *text) {
  if (id > MAX_ID) fail_with(run, ERANGE, DETAIL_ID_OUT_OF_RANGE, "setuser", text);
  return (uid_t)id;
}

/* Tells whether the text is a number, even one that no id can be: too long, or negative. */
static bool is_number(const char *text) {
  text += *text == '-';
  return *text && strspn(text, "0123456789") == strlen(text);
}

static void find_user(struct run *run, const char *user, struct account *account) {
  unsigned long wanted = 0, id;
  bool numeric = !*user || parse_id(user, &wanted);
  char *text = read_database(run, "/etc/passwd"), *line, *field[7];
  *account = (struct account){.uid = 0};
  memcpy(run->home, "/", 2);
  while ((line = next_line(&text))) {
    split(line, field, 7); /* name:password:uid:gid:comment:home:shell */
    if (!*field[0] || !parse_id(field[2], &id)) continue;
    if (!(*user && strcmp(field[0], user) == 0) && !(numeric && id == wanted)) continue;
    account->uid = checked(run, id, field[2]);
    if (parse_id(field[3], &id)) account->gid = checked(run, id, field[3]);
    account->name = field[0];
    if (*field[5] && strlen(field[5]) < sizeof run->home) memcpy(run->home, field[5], strlen(field[5]) + 1);
    return;
  }
  if (!numeric) {
    /* A number that parse_id refuses is out of range, not a name. */
    if (is_number(user)) fail_with(run, ERANGE, DETAIL_ID_OUT_OF_RANGE, "setuser", user);
    fail_with(run, ESRCH, DETAIL_NO_SUCH_USER, "setuser", user);
  }
  account->uid = checked(run, wanted, user);
}

static bool lists(const char *members, const char *name) {
  size_t length = strlen(name);
  for (const char *at = members; *at; at += strcspn(at, ","), at += *at ? 1 : 0)
    if (strcspn(at, ",") == length && strncmp(at, name, length) == 0) return true;
  return false;
}

static void add_group(struct run *run, struct account *account, gid_t gid) {
  for (size_t i = 0; i < account->group_count; i++)
    if (account->groups[i] == gid) return;
  if (account->group_count == MAX_GROUPS) fail_with(run, E2BIG, DETAIL_NONE, "setgroups", "/etc/group");
  account->groups[account->group_count++] = gid;
}

/* Returns the gid of a group by name or number; a number needs no entry. */
static gid_t find_group(struct run *run, const char *database, const char *group) {
  unsigned long wanted = 0, id;
  bool numeric = parse_id(group, &wanted);
  char *text = strdup(database), *line, *field[4];
  if (!text) fail(run, "malloc", "/etc/group");
  char *whole = text;
  while ((line = next_line(&text))) {
    split(line, field, 4); /* name:password:gid:members */
    if (!*field[0] || !parse_id(field[2], &id)) continue;
    if (strcmp(field[0], group) != 0 && !(numeric && id == wanted)) continue;
    free(whole);
    return checked(run, id, group);
  }
  free(whole);
  if (!numeric && is_number(group)) fail_with(run, ERANGE, DETAIL_ID_OUT_OF_RANGE, "setuser", group);
  if (!numeric) fail_with(run, ESRCH, DETAIL_NO_SUCH_GROUP, "setuser", group);
  return checked(run, wanted, group);
}

static void add_listed_groups(struct run *run, const char *database, struct account *account) {
  unsigned long id;
  char *text = strdup(database), *line, *field[4];
  if (!text) fail(run, "malloc", "/etc/group");
  char *whole = text;
  while ((line = next_line(&text))) {
    split(line, field, 4);
    if (*field[0] && parse_id(field[2], &id) && lists(field[3], account->name)) add_group(run, account, checked(run, id, field[2]));
  }
  free(whole);
}

void do_setuser(struct run *run) {
  static struct account account;
  static char user[4096];
  const struct bytes *additional = &run->step.blob;
  memcpy(user, run->step.string[0], strlen(run->step.string[0]) + 1); /* plan.c: shorter than PATH_MAX */
  char *colon = strchr(user, ':');
  const char *group = colon ? colon + 1 : "";
  if (colon) *colon = 0;
  find_user(run, user, &account);
  bool needed = *group || account.name || additional->count;
  const char *database = needed ? read_database(run, "/etc/group") : "";
  if (*group) account.gid = find_group(run, database, group);
  /* The primary group is a supplementary one too: a process that could drop it would gain rights (CVE-2022-36109). */
  add_group(run, &account, account.gid);
  if (!*group && account.name) add_listed_groups(run, database, &account);
  for (uint32_t i = 0, offset = 0; i < additional->count; i++) add_group(run, &account, find_group(run, database, list_string(additional, &offset)));
  if (setgroups(account.group_count, account.groups) < 0) fail(run, "setgroups", NULL);
  if (setresgid(account.gid, account.gid, account.gid) < 0) fail(run, "setresgid", NULL);
  become(run, account.uid);
}
