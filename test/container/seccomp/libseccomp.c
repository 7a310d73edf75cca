/*
 * What libseccomp makes of a profile: rules on stdin, BPF on stdout, names it does not know on stderr. See
 * libseccomp.ts for the lines.
 */
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int rc, const char *what) {
  if (rc < 0) {
    fprintf(stderr, "error %s: %s\n", what, strerror(-rc));
    exit(1);
  }
}

int main(void) {
  static char name[128];
  unsigned long action;
  unsigned arch;
  char word[16];
  if (scanf("default %lu\n", &action) != 1) return 2;
  scmp_filter_ctx ctx = seccomp_init(action);
  while (scanf("%15s", word) == 1) {
    if (strcmp(word, "arch") == 0) {
      if (scanf("%u", &arch) != 1) return 2;
      int rc = seccomp_arch_add(ctx, arch);
      if (rc != -17 /* EEXIST: the native one */) check(rc, "arch");
      continue;
    }
    unsigned count;
    struct scmp_arg_cmp args[6];
    if (strcmp(word, "rule") != 0 || scanf("%127s %lu %u", name, &action, &count) != 3 || count > 6) return 2;
    for (unsigned i = 0; i < count; i++) {
      unsigned index, op;
      unsigned long a, b;
      if (scanf("%u %u %lu %lu", &index, &op, &a, &b) != 4) return 2;
      args[i] = (struct scmp_arg_cmp){.arg = index, .op = op, .datum_a = a, .datum_b = b};
    }
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR) {
      fprintf(stderr, "unknown %s\n", name);
      continue;
    }
    check(seccomp_rule_add_array(ctx, action, nr, count, args), name);
  }
  check(seccomp_export_bpf(ctx, 1), "export");
  return 0;
}
