/*
 * Reads the binary launch plan (plan.h). It only looks at bytes: no system call, no allocation. `husk-init check` runs
 * exactly this on standard input, which is how it is fuzzed (test/container/launch-plan.test.ts).
 */
#include "plan.h"

#include <string.h>

struct shape {
  const char *fields;
  uint16_t flags; /* those allowed */
};

#define ROOT STEP_IN_ROOT

static const struct shape SHAPES[OP_END] = {
  [OP_SETNS] = {"su", STEP_VISIBLE},
  [OP_SETNS_PID] = {"uu", 0},
  [OP_UNSHARE] = {"u", 0},
  [OP_AWAIT] = {"u", 0},
  [OP_FORK] = {"", 0},
  [OP_REAPER] = {"", 0},
  [OP_PARENT_DEATH_SIGNAL] = {"u", 0},
  [OP_SETSID] = {"", 0},
  [OP_NEW_SESSION_KEYRING] = {"", 0},
  [OP_LOOPBACK_UP] = {"", 0},
  [OP_SET_ROOT] = {"s", 0},
  [OP_MOUNT] = {"sssusqqqqU", ROOT | STEP_CREATE_DIRECTORY | STEP_CREATE_FILE | STEP_CREATE_LIKE_SOURCE | STEP_NO_SYMLINKS | STEP_MODE_FROM_TARGET},
  [OP_MOUNT_ATTRIBUTES] = {"sqqq", ROOT | STEP_RECURSIVE},
  [OP_UMOUNT] = {"su", ROOT},
  [OP_MKDIR] = {"su", ROOT},
  [OP_SYMLINK] = {"ss", ROOT},
  [OP_MKNOD] = {"suuu", ROOT},
  [OP_CHOWN] = {"suu", ROOT},
  [OP_CHMOD] = {"su", ROOT},
  [OP_WRITE_FILE] = {"sbu", ROOT | STEP_CREATE},
  [OP_MASK_PATH] = {"s", 0},
  [OP_READONLY_PATH] = {"s", 0},
  [OP_PIVOT_ROOT] = {"s", 0},
  [OP_CHDIR] = {"suu", STEP_CREATE},
  [OP_UMASK] = {"u", 0},
  [OP_SETHOSTNAME] = {"s", 0},
  [OP_SETDOMAINNAME] = {"s", 0},
  [OP_RLIMIT] = {"uqq", 0},
  [OP_SETGROUPS] = {"U", 0},
  [OP_SETGID] = {"u", 0},
  [OP_SETUID] = {"u", 0},
  [OP_SETUSER] = {"sS", 0},
  [OP_CAPABILITIES] = {"qqqqq", STEP_ROOT_ONLY},
  [OP_NO_NEW_PRIVILEGES] = {"", 0},
  [OP_SECCOMP] = {"bu", 0},
  [OP_OPEN_PTY] = {"uu", STEP_CONSOLE},
  [OP_CHOWN_STDIO] = {"", 0},
  [OP_CLOSE_FROM] = {"u", 0},
  [OP_ENVIRONMENT] = {"S", 0},
  [OP_EXEC] = {"S", 0},
  [OP_HOLD_TREE] = {"ssu", STEP_RECURSIVE},
  [OP_PLACE_TREE] = {"su", ROOT},
  [OP_SOCKETS] = {"su", STEP_ASKING},
  [OP_MAP_USERS] = {"ss", 0},
  [OP_EXIT] = {"", 0},
  [OP_TAP] = {"s", 0},
};

/* A window on bytes that are still to be read. */
struct reader {
  const unsigned char *at;
  uint32_t left;
};

static bool read_u16(struct reader *r, uint16_t *value) {
  if (r->left < 2) return false;
  *value = (uint16_t)(r->at[0] | (uint16_t)(r->at[1] << 8));
  r->at += 2;
  r->left -= 2;
  return true;
}

static bool read_u32(struct reader *r, uint32_t *value) {
  if (r->left < 4) return false;
  *value = (uint32_t)r->at[0] | (uint32_t)r->at[1] << 8 | (uint32_t)r->at[2] << 16 | (uint32_t)r->at[3] << 24;
  r->at += 4;
  r->left -= 4;
  return true;
}

static bool read_u64(struct reader *r, uint64_t *value) {
  uint32_t low, high;
  if (!read_u32(r, &low) || !read_u32(r, &high)) return false;
  *value = (uint64_t)high << 32 | low;
  return true;
}

static bool read_string(struct reader *r, const char **value) {
  uint32_t length;
  if (!read_u32(r, &length) || length == 0 || length > PLAN_MAX_STRING || length > r->left) return false;
  /* the only NUL is the last byte: what TypeScript wrote is what the kernel reads */
  if (memchr(r->at, 0, length) != r->at + length - 1) return false;
  *value = (const char *)r->at;
  r->at += length;
  r->left -= length;
  return true;
}

static bool read_blob(struct reader *r, struct bytes *value) {
  uint32_t length;
  if (!read_u32(r, &length) || length > PLAN_MAX_BLOB || length > r->left) return false;
  *value = (struct bytes){.data = r->at, .length = length, .count = 0};
  r->at += length;
  r->left -= length;
  return true;
}

static bool read_list(struct reader *r, char kind, struct bytes *value) {
  uint32_t count;
  if (!read_u32(r, &count) || count > (kind == 'S' ? PLAN_MAX_LIST : PLAN_MAX_GROUPS)) return false;
  const unsigned char *first = r->at;
  for (uint32_t i = 0; i < count; i++) {
    const char *string;
    uint32_t number;
    if (kind == 'S' ? !read_string(r, &string) : !read_u32(r, &number)) return false;
  }
  *value = (struct bytes){.data = first, .length = (uint32_t)(r->at - first), .count = count};
  return true;
}

static bool read_fields(struct reader *r, const char *fields, struct step *step) {
  unsigned numbers = 0, strings = 0;
  for (; *fields; fields++) {
    uint32_t small;
    switch (*fields) {
    case 'u':
      if (!read_u32(r, &small)) return false;
      step->number[numbers++] = small;
      break;
    case 'q':
      if (!read_u64(r, &step->number[numbers++])) return false;
      break;
    case 's':
      if (!read_string(r, &step->string[strings++])) return false;
      break;
    case 'b':
      if (!read_blob(r, &step->blob)) return false;
      break;
    default:
      if (!read_list(r, *fields, &step->blob)) return false;
    }
  }
  return r->left == 0;
}

/* Reads one step; a reason when it is malformed. */
static const char *read_step(struct reader *plan, struct step *step) {
  uint32_t length;
  *step = (struct step){0};
  if (!read_u16(plan, &step->opcode) || !read_u16(plan, &step->flags) || !read_u32(plan, &length)) return "truncated step header";
  if (length > plan->left) return "step longer than the plan";
  if (step->opcode == 0 || step->opcode >= OP_END) return "unknown opcode";
  const struct shape *shape = &SHAPES[step->opcode];
  if (step->flags & (uint16_t)~shape->flags) return "unknown flag";
  struct reader payload = {plan->at, length};
  if (!read_fields(&payload, shape->fields, step)) return "malformed payload";
  plan->at += length;
  plan->left -= length;
  return NULL;
}

static bool fits_path(const char *path) { return strlen(path) < 4096; /* PATH_MAX */ }

static const char *check_mount(const struct step *step) {
  unsigned kinds = step->flags & (STEP_CREATE_DIRECTORY | STEP_CREATE_FILE | STEP_CREATE_LIKE_SOURCE);
  bool is_bind = step->number[0] & 4096; /* MS_BIND of mount(2) */
  bool has_attributes = step->number[1] || step->number[2] || step->number[3] || step->number[4] || step->blob.count;
  if (kinds & (kinds - 1)) return "target is to be both file and directory";
  if (kinds & STEP_CREATE_LIKE_SOURCE && !is_bind) return "only a bind mount has a source to be like";
  if (has_attributes && !is_bind && !(step->flags & STEP_IN_ROOT)) return "attributes of a mount outside of the root";
  return NULL;
}

/* Lines of user_namespaces(7): numbers alone, so that nothing else is ever written to a map. */
static bool is_id_map(const char *text) {
  size_t length = strlen(text);
  return length > 0 && strspn(text, "0123456789 \n") == length;
}

static const char *check_sockets(const struct step *step) {
  bool bound = step->number[0] & (SOCKET_UDP | SOCKET_TCP);
  if (step->number[0] == 0) return "no sockets";
  if (step->number[0] >> SOCKET_KINDS) return "unknown kind of socket";
  if (strlen(step->string[0]) > PLAN_MAX_ADDRESS) return "address too long";
  return bound == (step->string[0][0] != 0) ? NULL : "an address is for udp and tcp, and they need one";
}

/* A percent sign would make a pattern of it, and the kernel would choose the name. */
static bool is_interface(const char *name) {
  size_t length = strlen(name);
  return length > 0 && length <= PLAN_MAX_INTERFACE && strpbrk(name, "%/: ") == NULL;
}

/* What a signature cannot say. */
static const char *check_values(const struct step *step) {
  for (unsigned i = 0; i < FIELD_MAX; i++) {
    /* an overlay's options are a page as well (mount(2)) */
    if (step->string[i] && !fits_path(step->string[i])) return "string longer than PATH_MAX";
  }
  switch (step->opcode) {
  case OP_AWAIT:
    return step->number[0] > 3 ? "unknown tag" : NULL;
  case OP_PARENT_DEATH_SIGNAL:
    return step->number[0] > 64 ? "no such signal" : NULL;
  case OP_MOUNT:
    return check_mount(step);
  case OP_SECCOMP:
    if (step->blob.length == 0 || step->blob.length % 8 || step->blob.length / 8 > PLAN_MAX_FILTER) return "filter of a wrong length";
    return NULL;
  case OP_OPEN_PTY:
    return step->number[0] > 0xffff || step->number[1] > 0xffff ? "terminal too large" : NULL;
  case OP_CLOSE_FROM:
    if (step->number[0] > 1024) return "too many descriptors spared";
    return step->number[0] < 3 ? "stdio would be closed" : NULL;
  case OP_HOLD_TREE:
  case OP_PLACE_TREE:
    return step->number[0] >= PLAN_MAX_TREES ? "too many trees held" : NULL;
  case OP_SOCKETS:
    return check_sockets(step);
  case OP_TAP:
    return is_interface(step->string[0]) ? NULL : "not a name of an interface";
  case OP_MAP_USERS:
    return is_id_map(step->string[0]) && is_id_map(step->string[1]) ? NULL : "not a map of ids";
  case OP_EXEC:
    return step->blob.count == 0 ? "no arguments" : NULL;
  default:
    return NULL;
  }
}

bool plan_check(struct plan *plan, const unsigned char *data, size_t length, struct plan_error *error) {
  uint32_t magic, total, steps, forks = 0;
  uint16_t version, zero;
  *error = (struct plan_error){0, NULL};
  if (length > PLAN_MAX) return error->reason = "plan longer than 16 MiB", false;
  struct reader r = {data, (uint32_t)length};
  if (!read_u32(&r, &magic) || !read_u16(&r, &version) || !read_u16(&r, &zero) || !read_u32(&r, &total) || !read_u32(&r, &steps)) return error->reason = "truncated header", false;
  if (magic != PLAN_MAGIC) return error->reason = "not a launch plan", false;
  if (version != PLAN_VERSION) return error->reason = "plan of another version", false;
  if (zero != 0 || total != length) return error->reason = "wrong total length", false;
  if (steps == 0 || steps > PLAN_MAX_STEPS) return error->reason = "wrong number of steps", false;
  for (uint32_t i = 0; i < steps; i++) {
    struct step step;
    error->step = i;
    error->reason = read_step(&r, &step);
    if (!error->reason) error->reason = check_values(&step);
    if (error->reason) return false;
    bool last = step.opcode == OP_EXEC || step.opcode == OP_EXIT;
    if (last != (i == steps - 1)) return error->reason = "exec or exit is the last step and only that", false;
    if ((step.opcode == OP_FORK || step.opcode == OP_REAPER) && ++forks > PLAN_MAX_FORKS) return error->reason = "too many forks", false;
  }
  if (r.left != 0) return error->reason = "bytes after the last step", false;
  *plan = (struct plan){data, (uint32_t)length, steps};
  return true;
}

void plan_next(const struct plan *plan, uint32_t *offset, struct step *step) {
  struct reader r = {plan->data + *offset, plan->length - *offset};
  (void)read_step(&r, step);
  *offset = plan->length - r.left;
}

unsigned plan_spares(const struct plan *plan) {
  unsigned spared = 0;
  uint32_t offset = PLAN_HEADER;
  for (uint32_t i = 0; i < plan->steps; i++) {
    struct step step;
    plan_next(plan, &offset, &step);
    if (step.opcode == OP_CLOSE_FROM && step.number[0] > spared) spared = (unsigned)step.number[0];
  }
  return spared;
}

const char *list_string(const struct bytes *list, uint32_t *offset) {
  struct reader r = {list->data + *offset, list->length - *offset};
  const char *value = "";
  (void)read_string(&r, &value);
  *offset = list->length - r.left;
  return value;
}

uint32_t list_number(const struct bytes *list, uint32_t *offset) {
  struct reader r = {list->data + *offset, list->length - *offset};
  uint32_t value = 0;
  (void)read_u32(&r, &value);
  *offset = list->length - r.left;
  return value;
}
