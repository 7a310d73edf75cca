/*
 * The host's side of the vsock bench where the VMM is QEMU: AF_VSOCK, one connection at a time; echo, sink and source
 * ports as in guest.c.
 */
#define _GNU_SOURCE
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_PORT = 5001, PORTS = 3, STREAM = 16 << 20 };

int main(void) {
  static char buffer[65536];
  struct pollfd ports[PORTS];
  for (unsigned i = 0; i < PORTS; i++) {
    struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = FIRST_PORT + i};
    ports[i] = (struct pollfd){.fd = socket(AF_VSOCK, SOCK_STREAM, 0), .events = POLLIN};
    if (bind(ports[i].fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(ports[i].fd, 8) != 0) { perror("vsock-peer"); return 1; }
  }
  printf("ready\n");
  fflush(stdout);
  while (poll(ports, PORTS, -1) > 0) {
    for (int i = 0; i < PORTS; i++) {
      if (!(ports[i].revents & POLLIN)) continue;
      int fd = accept(ports[i].fd, NULL, NULL);
      ssize_t n;
      if (i == 0) while ((n = read(fd, buffer, sizeof buffer)) > 0) { if (write(fd, buffer, (size_t)n) != n) break; }
      if (i == 1) while (read(fd, buffer, sizeof buffer) > 0) {}
      if (i == 2) for (size_t sent = 0; sent < STREAM && (n = write(fd, buffer, sizeof buffer)) > 0; sent += (size_t)n) {}
      close(fd);
    }
  }
}
