/*
 * What a root may put on the wire by hand: `frames DEVICE SOURCE4 SOURCE6 REACHABLE... -- FORBIDDEN...` builds a UDP
 * datagram or the SYN of a TCP connection to each place (`tcp/192.0.2.1/80`, `udp/2001:db8::1/53`) as a frame of its
 * own, past every rule of this kernel's network, and prints each place that answered, with what. The forbidden ones go
 * first, and each round ends when all reachable ones have answered: what would have been answered on the same way has
 * been by then. Run in a VM by test/vmm/network.test.ts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  ROUNDS = 3,
  MOST_PLACES = 64,
  FIRST_PORT = 40000,
  /* RFC 768, RFC 9293 § 3.1 */
  UDP_HEADER = 8,
  TCP_HEADER = 20,
  TCP_FLAGS = 13,
  SYN = 2,
  RST = 4,
  ACK = 16,
  /* RFC 791 § 3.1, RFC 8200 § 3 */
  IP4_HEADER = 20,
  IP6_HEADER = 40,
  HOPS = 64,
  /* ms until a reachable place is asked again, and how often: a busy host */
  PATIENCE = 1000,
  TRIES = 90,
};

struct place {
  const char *name;
  int protocol, family;
  uint8_t source[16], address[16];
  uint16_t port;
  int round; /* of the last answer */
  const char *answer;
};

static struct place places[MOST_PLACES];
static int count, link_fd;
static uint8_t own_mac[ETH_ALEN], next_mac[ETH_ALEN];

static void fail(const char *what) {
  fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t add(uint32_t sum, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  return sum;
}

static uint16_t fold(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(~sum & 0xffff);
}

static void put16(uint8_t *at, uint16_t value) {
  at[0] = value >> 8;
  at[1] = value & 0xff;
}

static int get16(const uint8_t *at) { return at[0] << 8 | at[1]; }

/* Whoever else is known on this link: the gateway, once anything has gone through it. */
static void find_next(const char *device) {
  char line[256], mac[32], name[32];
  FILE *known = fopen("/proc/net/arp", "r");
  if (known == NULL) fail("/proc/net/arp");
  while (fgets(line, sizeof line, known) != NULL)
    if (sscanf(line, "%*s %*s %*s %31s %*s %31s", mac, name) == 2 && strcmp(name, device) == 0) {
      uint8_t *to = next_mac;
      if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) == 6) return;
    }
  errno = ENOENT, fail("the gateway's address in /proc/net/arp");
}

static uint16_t port_of(int index, int round) { return FIRST_PORT + round * MOST_PLACES + index; }

static void send_probe(int index, int round) {
  struct place *to = &places[index];
  uint8_t frame[ETH_HLEN + IP6_HEADER + TCP_HEADER] = {0};
  int size = to->family == AF_INET ? 4 : 16, tcp = to->protocol == IPPROTO_TCP;
  size_t header = to->family == AF_INET ? IP4_HEADER : IP6_HEADER, length = tcp ? TCP_HEADER : UDP_HEADER;
  uint8_t *ip = frame + ETH_HLEN, *payload = ip + header;

  memcpy(frame, next_mac, ETH_ALEN);
  memcpy(frame + ETH_ALEN, own_mac, ETH_ALEN);
  put16(frame + 2 * ETH_ALEN, to->family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
  if (to->family == AF_INET) {
    ip[0] = 4 << 4 | IP4_HEADER / 4;
    put16(ip + 2, header + length);
    ip[8] = HOPS;
    ip[9] = to->protocol;
    memcpy(ip + 12, to->source, 4);
    memcpy(ip + 16, to->address, 4);
    uint16_t sum = fold(add(0, ip, IP4_HEADER));
    memcpy(ip + 10, &sum, 2);
  } else {
    ip[0] = 6 << 4;
    put16(ip + 4, length);
    ip[6] = to->protocol;
    ip[7] = HOPS;
    memcpy(ip + 8, to->source, 16);
    memcpy(ip + 24, to->address, 16);
  }
  put16(payload, port_of(index, round));
  put16(payload + 2, to->port);
  if (tcp) {
    payload[4] = round + 1; /* sequence number */
    payload[12] = TCP_HEADER / 4 << 4;
    payload[TCP_FLAGS] = SYN;
    put16(payload + 14, 0xffff); /* window */
  } else
    put16(payload + 4, length);
  uint32_t pseudo = add(add(length + to->protocol, to->source, size), to->address, size);
  uint16_t sum = fold(add(pseudo, payload, length));
  memcpy(payload + (tcp ? 16 : 6), &sum, 2);
  if (send(link_fd, frame, ETH_HLEN + header + length, 0) < 0) fail("send");
}

static void receive(int round) {
  uint8_t frame[65536];
  struct sockaddr_ll from;
  socklen_t size = sizeof from;
  ssize_t length = recvfrom(link_fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &size);
  if (length < 0) fail("recv");
  if (from.sll_pkttype == PACKET_OUTGOING || length < ETH_HLEN + IP4_HEADER) return;
  const uint8_t *ip = frame + ETH_HLEN;
  int type = get16(frame + 2 * ETH_ALEN);
  if (type != ETH_P_IP && type != ETH_P_IPV6) return;
  int protocol = type == ETH_P_IP ? ip[9] : ip[6], header = type == ETH_P_IP ? (ip[0] & 15) * 4 : IP6_HEADER;
  const uint8_t *payload = ip + header;
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return;
  if (length < ETH_HLEN + header + (protocol == IPPROTO_TCP ? TCP_HEADER : UDP_HEADER)) return;
  /* the address may be another's (a translated one): the port is ours alone */
  int index = get16(payload + 2) - FIRST_PORT;
  if (index < 0 || index % MOST_PLACES >= count || index / MOST_PLACES > round) return;
  struct place *who = &places[index % MOST_PLACES];
  if (who->protocol != protocol) return;
  int flags = protocol == IPPROTO_UDP ? SYN | ACK : payload[TCP_FLAGS];
  who->answer = flags & RST ? "refuses" : (flags & (SYN | ACK)) == (SYN | ACK) ? "answers" : "says something";
  who->round = index / MOST_PLACES + 1;
}

static void name_place(char *text, const char *source4, const char *source6) {
  if (count == MOST_PLACES) errno = E2BIG, fail(text);
  struct place *place = &places[count++];
  place->name = strdup(text);
  char *protocol = strtok(text, "/"), *address = strtok(NULL, "/"), *port = strtok(NULL, "/");
  if (port == NULL) errno = EINVAL, fail(place->name);
  place->protocol = strcmp(protocol, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
  place->family = strchr(address, ':') ? AF_INET6 : AF_INET;
  place->port = atoi(port);
  const char *source = place->family == AF_INET ? source4 : source6;
  if (inet_pton(place->family, address, place->address) != 1 || inet_pton(place->family, source, place->source) != 1)
    errno = EINVAL, fail(place->name);
}

int main(int argc, char **argv) {
  if (argc < 5) errno = EINVAL, fail("DEVICE SOURCE4 SOURCE6 REACHABLE... -- FORBIDDEN...");
  int reachable = -1;
  for (int i = 4; i < argc; i++)
    if (strcmp(argv[i], "--") == 0) reachable = count;
    else name_place(argv[i], argv[2], argv[3]);
  if (reachable < 1) errno = EINVAL, fail("REACHABLE...");

  link_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (link_fd < 0) fail("socket");
  struct ifreq device = {0};
  strncpy(device.ifr_name, argv[1], IFNAMSIZ - 1);
  if (ioctl(link_fd, SIOCGIFHWADDR, &device) < 0) fail("SIOCGIFHWADDR");
  memcpy(own_mac, device.ifr_hwaddr.sa_data, ETH_ALEN);
  find_next(argv[1]);
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  at.sll_ifindex = if_nametoindex(argv[1]);
  if (bind(link_fd, (struct sockaddr *)&at, sizeof at) < 0) fail("bind");

  for (int round = 0; round < ROUNDS; round++) {
    for (int i = reachable; i < count; i++) send_probe(i, round);
    for (int tries = 0;; tries++) {
      int waiting = 0;
      for (int i = 0; i < reachable; i++)
        if (places[i].round <= round) waiting++, send_probe(i, round);
      if (waiting == 0) break;
      if (tries == TRIES) errno = ETIMEDOUT, fail("what can be reached does not answer");
      struct pollfd ready = {.fd = link_fd, .events = POLLIN};
      while (waiting > 0 && poll(&ready, 1, PATIENCE) > 0) {
        receive(round);
        waiting = 0;
        for (int i = 0; i < reachable; i++) waiting += places[i].round <= round;
      }
    }
  }
  for (int i = 0; i < count; i++)
    if (places[i].answer) printf("%s %s\n", places[i].name, places[i].answer);
}
