/*
 * Reads the forwarder's control messages (net.h has their form). The reader only looks at bytes: it makes no system
 * call and no allocation. `husk-net check-many` runs exactly this code, to fuzz it
 * (test/network/forwarder-messages.test.ts).
 */
#include "net.h"

#include <string.h>

static uint16_t u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static uint32_t u32(const uint8_t *at) { return (uint32_t)u16(at) | (uint32_t)u16(at + 2) << 16; }

static bool is_zero(const uint8_t *at, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (at[i]) return false;
  return true;
}

static const char *read_port(const uint8_t *at, struct port *port) {
  uint8_t family = at[0], protocol = at[1], prefix = at[2];
  uint16_t number = u16(at + 4);
  size_t width = family == 4 ? 4 : 16;
  const uint8_t *container = at + 8, *gateway = at + 24;
  if (family != 4 && family != 6) return "unknown family";
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return "unknown protocol";
  if (prefix == 0 || prefix > 8 * width) return "wrong prefix";
  if (number == 0) return "no port";
  bool padded = is_zero(container + width, 16 - width) && is_zero(gateway + width, 16 - width);
  if (at[3] || u16(at + 6) || !padded) return "padding is not zero";
  if (is_zero(container, width) || is_zero(gateway, width)) return "no address";
  *port = (struct port){.socket = -1, .protocol = protocol, .prefix = prefix, .number = htons(number)};
  port->family = family == 4 ? AF_INET : AF_INET6;
  memcpy(port->container.bytes, container, 16);
  memcpy(port->gateway.bytes, gateway, 16);
  return NULL;
}

const char *control_read(const uint8_t *data, size_t length, unsigned descriptors, struct port *ports, unsigned *count,
                         unsigned *flags) {
  if (length < CONTROL_HEADER) return "truncated header";
  uint32_t here = u32(data + 8);
  if (u32(data) != CONTROL_MAGIC) return "not a control message";
  if (u16(data + 4) != CONTROL_VERSION) return "message of another version";
  if (u16(data + 6) & ~(CONTROL_LAST | CONTROL_PLAIN)) return "unknown flag";
  if (here == 0 || here > CONTROL_PORTS || here > CONTROL_PORTS_ALL - *count) return "wrong number of ports";
  if (here != descriptors) return "not one descriptor for each port";
  if (length != CONTROL_HEADER + here * CONTROL_PORT) return "wrong length";
  for (uint32_t i = 0; i < here; i++) {
    const char *reason = read_port(data + CONTROL_HEADER + i * CONTROL_PORT, &ports[*count + i]);
    if (reason) return reason;
  }
  *count += here;
  *flags = u16(data + 6);
  return NULL;
}
