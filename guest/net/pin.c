/*
 * Gives a network's user and network namespace a pid by staying in them: a program that enters namespaces by a pid
 * (pasta) can enter these. The pin does nothing, holds no capability, and ends when the last other end of its stdin
 * closes.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <unistd.h>

int pin_main(void) {
  char byte;
  ssize_t got;
  prctl(PR_SET_NAME, "husk-pin", 0, 0, 0);
  close_range(1, ~0u, 0);
  if (chdir("/") < 0) return EXIT_SETUP;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !keep_capabilities(0)) return EXIT_SETUP;
  /*
   * The process that started the pin may end. /proc/PID/ns of a process that is not dumpable is closed, and setns(2)
   * has made the pin such a process.
   */
  prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  do got = read(STDIN_FILENO, &byte, 1);
  while (got > 0 || (got < 0 && errno == EINTR));
  return 0;
}
