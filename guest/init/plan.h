/*
 * The binary launch plan: what src/launch/plan.ts writes and this program reads. All integers are little-endian.
 *
 *   header  u32 magic "HKLP", u16 version, u16 zero, u32 total length in bytes, u32 number of steps
 *   step    u16 opcode, u16 flags, u32 length of the payload in bytes, payload
 *   payload the fields of the opcode's signature (plan.c), one after another, unaligned:
 *           u  u32          q  u64
 *           s  u32 length including the NUL, bytes, NUL          b  u32 length, bytes
 *           S  u32 count, that many s                            U  u32 count, that many u
 *
 * The whole plan is checked before its first step runs, so that a step never meets a malformed field.
 */
#ifndef HUSK_PLAN_H
#define HUSK_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x504c4b48u /* "HKLP" */
#define PLAN_VERSION 2u
#define PLAN_HEADER 16u        /* bytes */
#define STEP_HEADER 8u         /* bytes */
#define PLAN_MAX (16u << 20)   /* bytes: twice execve(2)'s 6 MiB of arguments and environment, each with its length, and the rest of a plan */
#define PLAN_MAX_STEPS 4096u
#define PLAN_MAX_STRING (128u << 10) /* bytes with the NUL: MAX_ARG_STRLEN of execve(2) */
#define PLAN_MAX_BLOB (1u << 20)     /* bytes: the content of a file */
#define PLAN_MAX_LIST (1u << 20)     /* items: arguments, variables; 6 MiB hold 629,145 strings of one byte with their pointers (fs/exec.c) */
#define PLAN_MAX_GROUPS 65536u       /* items: NGROUPS_MAX, linux/limits.h */
#define PLAN_MAX_FORKS 8u
#define PLAN_MAX_TREES 2048u         /* trees held at once, each by a descriptor */
#define PLAN_MAX_ADDRESS 45u          /* bytes: INET6_ADDRSTRLEN without its NUL */
#define PLAN_MAX_INTERFACE 15u        /* bytes: IFNAMSIZ without its NUL, linux/if.h */
#define PLAN_MAX_FILTER 4096u        /* struct sock_filter: BPF_MAXINSNS, linux/bpf_common.h */

enum opcode {
  OP_SETNS = 1,
  OP_SETNS_PID,
  OP_UNSHARE,
  OP_AWAIT,
  OP_FORK,
  OP_REAPER,
  OP_PARENT_DEATH_SIGNAL,
  OP_SETSID,
  OP_NEW_SESSION_KEYRING,
  OP_LOOPBACK_UP,
  OP_SET_ROOT,
  OP_MOUNT,
  OP_MOUNT_ATTRIBUTES,
  OP_UMOUNT,
  OP_MKDIR,
  OP_SYMLINK,
  OP_MKNOD,
  OP_CHOWN,
  OP_CHMOD,
  OP_WRITE_FILE,
  OP_MASK_PATH,
  OP_READONLY_PATH,
  OP_PIVOT_ROOT,
  OP_CHDIR,
  OP_UMASK,
  OP_SETHOSTNAME,
  OP_SETDOMAINNAME,
  OP_RLIMIT,
  OP_SETGROUPS,
  OP_SETGID,
  OP_SETUID,
  OP_SETUSER,
  OP_CAPABILITIES,
  OP_NO_NEW_PRIVILEGES,
  OP_SECCOMP,
  OP_OPEN_PTY,
  OP_CHOWN_STDIO,
  OP_CLOSE_FROM,
  OP_ENVIRONMENT,
  OP_EXEC,
  OP_HOLD_TREE,
  OP_PLACE_TREE,
  OP_SOCKETS,
  OP_MAP_USERS,
  OP_EXIT,
  OP_TAP,
  OP_END, /* one past the last */
};

/* Flags of a step. */
#define STEP_IN_ROOT 1u
#define STEP_CREATE_DIRECTORY 2u
#define STEP_CREATE_FILE 4u
#define STEP_NO_SYMLINKS 8u
#define STEP_RECURSIVE 16u
#define STEP_CREATE 32u
#define STEP_CONSOLE 64u
#define STEP_MODE_FROM_TARGET 128u
#define STEP_ROOT_ONLY 256u
#define STEP_CREATE_LIKE_SOURCE 512u /* a folder for a folder, a file for anything else */
#define STEP_VISIBLE 1024u
#define STEP_ASKING 2048u /* `sockets`: a stream is to be connected, and does not listen */

/* What a `sockets` step makes: bits of its mask, in the order in which the descriptors are sent. */
#define SOCKET_RTNETLINK 1u
#define SOCKET_NETFILTER 2u
#define SOCKET_UDP 4u
#define SOCKET_TCP 8u
#define SOCKET_NETWORK_NAMESPACE 16u
#define SOCKET_USER_NAMESPACE 32u
#define SOCKET_KINDS 6u /* how many there are */
#define SOCKET_TAP 64u  /* of the record alone: what a `tap` step has made */

#define FIELD_MAX 5 /* of one kind in one step */

struct bytes {
  const unsigned char *data;
  uint32_t length; /* bytes; for lists: of all items with their lengths */
  uint32_t count;  /* items of a list */
};

/* One step, decoded: its fields by kind, in the order of the signature. Everything points into the plan. */
struct step {
  uint16_t opcode;
  uint16_t flags;
  uint64_t number[FIELD_MAX];
  const char *string[FIELD_MAX];
  struct bytes blob; /* b, S or U: no step has two */
};

struct plan {
  const unsigned char *data;
  uint32_t length; /* bytes */
  uint32_t steps;
};

/* Where and why a plan is refused. */
struct plan_error {
  uint32_t step;
  const char *reason;
};

/* Checks everything; false fills `error`. Reads nothing beyond data[length]. */
bool plan_check(struct plan *plan, const unsigned char *data, size_t length, struct plan_error *error);

/* Iterates: `*offset` starts at PLAN_HEADER. Only for a plan that passed plan_check. */
void plan_next(const struct plan *plan, uint32_t *offset, struct step *step);

/*
 * The first descriptor that no closeFrom step of the plan spares; 0 without one. Only for a plan that passed
 * plan_check.
 */
unsigned plan_spares(const struct plan *plan);

/* The next string of an S list / number of a U list; `*offset` starts at 0. */
const char *list_string(const struct bytes *list, uint32_t *offset);
uint32_t list_number(const struct bytes *list, uint32_t *offset);

#endif
