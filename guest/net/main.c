/*
 * husk-net: the processes that a network of containers needs beside its supervisors, and those that the sockets and the
 * warden of a virtual machine need.
 *
 *   husk-net pin                    sits in a network's namespaces, so that they have a pid (pin.c)
 *   husk-net keep ...               keeps a network for as long as a container is on it (keep.c)
 *   husk-net forward CONTROL        carries a container's published ports (forward.c)
 *   husk-net relay ...              connects to sockets of the host's for a virtual machine (relay.c)
 *   husk-net tend PROGRAM ARGV0 ... keeps a virtual machine's warden running (tend.c)
 *   husk-net check-many             reads many (u32 length, u32 descriptors, control message), for fuzzing; says how
 *                                   many there were and how many are good
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Checks a message. It is copied to a buffer of exactly its length, so that a sanitizer sees a read beyond it, and its
 * ports to where they would go in a forwarder.
 */
static bool is_good(const uint8_t *input, size_t length, uint32_t descriptors) {
  static struct port ports[CONTROL_PORTS_ALL];
  unsigned count = descriptors % 2 ? CONTROL_PORTS_ALL - 2 : 0, flags = 0;
  uint8_t *data = malloc(length ? length : 1);
  if (!data) exit(EXIT_USAGE);
  memcpy(data, input, length);
  bool good = control_read(data, length, descriptors, ports, &count, &flags) == NULL;
  free(data);
  return good && count <= CONTROL_PORTS_ALL;
}

static int check_many_main(void) {
  static uint8_t input[2 * CONTROL_MESSAGE];
  uint32_t head[2];
  unsigned all = 0, good = 0;
  while (fread(head, sizeof head, 1, stdin) == 1) {
    if (head[0] > sizeof input || fread(input, 1, head[0], stdin) != head[0]) return EXIT_USAGE;
    all++;
    good += is_good(input, head[0], head[1]);
  }
  printf("%u %u\n", all, good);
  return 0;
}

static int parse_fd(const char *text) {
  if (!*text || strlen(text) > 4 || strspn(text, "0123456789") != strlen(text)) return -1;
  return atoi(text);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "pin") == 0) return pin_main();
  if (argc >= 8 && strcmp(argv[1], "keep") == 0) return keep_main(argc - 2, argv + 2);
  if (argc == 3 && strcmp(argv[1], "forward") == 0 && parse_fd(argv[2]) >= 0) return forward_main(parse_fd(argv[2]));
  if (argc >= 4 && strcmp(argv[1], "relay") == 0) return relay_main(argc - 2, argv + 2);
  if (argc >= 4 && strcmp(argv[1], "tend") == 0) return tend_main(argv + 2);
  if (argc == 2 && strcmp(argv[1], "check-many") == 0) return check_many_main();
  fputs("husk-net is a part of husk and is started by it\n", stderr);
  return EXIT_USAGE;
}
