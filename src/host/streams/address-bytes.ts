/** IP and hardware addresses as the bytes that the kernel has on the wire. Pure but for inet_pton(3). */
import { libraryFunction } from '../libc.ts';

/** bits/socket.h */
export const AF_INET = 2;
export const AF_INET6 = 10;

/** bytes of struct in6_addr, the longer one, and of struct in_addr (netinet/in.h) */
const IPV6_BYTES = 16;
const IPV4_BYTES = 4;

const c_inet_pton = libraryFunction<(family: number, text: string, bytes: Uint8Array) => number>(
  'int inet_pton(int family, const char *text, void *bytes)',
);

/** An IP address as text → 4 or 16 bytes. @throws TypeError */
export function addressBytes(text: string): Uint8Array {
  const family = text.includes(':') ? AF_INET6 : AF_INET;
  const bytes = new Uint8Array(IPV6_BYTES); // safe: inet_pton writes at most the longer one
  if (c_inet_pton(family, text, bytes) !== 1) throw new TypeError(`"${text}" is no IP address`);
  return family === AF_INET6 ? bytes : bytes.subarray(0, IPV4_BYTES);
}

/** AF_INET or AF_INET6 of an address's bytes. */
export function addressFamily(address: Uint8Array): number {
  return address.length === IPV4_BYTES ? AF_INET : AF_INET6;
}

/** '02:42:ac:11:00:02' → its six bytes. @throws TypeError */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new TypeError(`"${text}" is no MAC address`);
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}

/** Six bytes → '02:42:ac:11:00:02'. */
export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
