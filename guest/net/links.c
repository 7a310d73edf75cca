/*
 * The links of a network namespace: events report changes, and a dump counts the links. One socket carries both, which
 * is safe: an answer is known by its sequence number, and a change that arrives meanwhile is in the dump or in a later
 * event.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define BRIDGE "br0"         /* four bytes with its NUL */
#define MAX_MESSAGES 65536   /* most messages read for one question: a bridge has at most 1023 ports (BR_MAX_PORTS) */

/* bytes that the kernel fills at once for a reader with room for them (netlink_recvmsg) */
static char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));

bool links_subscribe(int route) {
  int group = RTNLGRP_LINK;
  return setsockopt(route, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0;
}

struct question { /* struct rtattr and its value, which is four bytes long */
  struct nlmsghdr header;
  struct ifinfomsg link;
  struct rtattr attribute;
  union {
    char name[sizeof BRIDGE];
    uint32_t number;
  } value;
  struct rtattr mask_attribute;
  uint32_t mask;
};

static uint32_t sequence;

/*
 * Returns the kernel's number of this socket. A change that another socket caused carries that one's number and
 * sequence.
 */
static uint32_t own_port(int route) {
  struct sockaddr_nl name = {0};
  socklen_t length = sizeof name;
  return getsockname(route, (void *)&name, &length) == 0 ? name.nl_pid : 0;
}

/* Returns how many links an answer names, and the last one's index in `index`; -1 when there is no answer. */
static int ask(int route, struct question *question, unsigned short attribute, unsigned short flags, int *index) {
  int links = 0;
  question->header.nlmsg_type = RTM_GETLINK;
  question->header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
  question->attribute = (struct rtattr){RTA_LENGTH(sizeof question->value), attribute};
  question->header.nlmsg_len = sizeof *question;
  question->header.nlmsg_seq = ++sequence;
  question->mask_attribute = (struct rtattr){RTA_LENGTH(sizeof question->mask), IFLA_EXT_MASK};
  question->mask = RTEXT_FILTER_SKIP_STATS;
  if (send(route, question, sizeof *question, MSG_DONTWAIT) < 0) return -1;
  uint32_t port = own_port(route);
  for (int messages = 0; messages < MAX_MESSAGES; messages++) {
    ssize_t got = recv(route, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == ENOBUFS)) continue; /* ENOBUFS: events were lost, but not the answer */
    if (got <= 0) return -1; /* the next part is ready once one is read, so no message means no answer */
    for (size_t at = 0; at + sizeof(struct nlmsghdr) <= (size_t)got;) {
      const struct nlmsghdr *message = (const void *)(buffer + at);
      if (message->nlmsg_len < sizeof *message || message->nlmsg_len > (size_t)got - at) return -1;
      at += NLMSG_ALIGN(message->nlmsg_len);
      if (message->nlmsg_seq != sequence || message->nlmsg_pid != port) continue; /* an event */
      if (message->nlmsg_type == NLMSG_DONE) return links;
      if (message->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = NLMSG_DATA(message);
        return message->nlmsg_len >= NLMSG_LENGTH(sizeof *error) && error->error == -ENODEV ? 0 : -1;
      }
      if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg))) continue;
      *index = ((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_index;
      links++;
      if (!(question->header.nlmsg_flags & NLM_F_DUMP)) return links;
    }
  }
  return -1;
}

int links_ports(int route) {
  int bridge = 0, ignored;
  /* Events that are waiting say only that something has changed. */
  for (int i = 0; i < MAX_MESSAGES; i++)
    if (recv(route, buffer, sizeof buffer, MSG_DONTWAIT) < 0 && errno != EINTR && errno != ENOBUFS) break;
  struct question by_name = {.value.name = BRIDGE};
  int found = ask(route, &by_name, IFLA_IFNAME, 0, &bridge);
  if (found <= 0) return found;
  struct question of_bridge = {.value.number = (uint32_t)bridge};
  return ask(route, &of_bridge, IFLA_MASTER, NLM_F_DUMP, &ignored);
}
