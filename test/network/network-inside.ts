/**
 * A process in a network's namespaces, for tests of the keeper: makes a bridge, sends a socket of rtnetlink(7) that it
 * opened there to descriptor 3, and waits for the end of its stdin. Not a test itself.
 */
import { execFileSync } from 'node:child_process';
import { checked } from '../../src/host/libc.ts';
import { send } from '../../src/host/streams/socket.ts';
import { systemCall } from '../../src/host/system-call.ts';

/** bits/socket.h, linux/netlink.h */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);

execFileSync('/usr/sbin/ip', ['link', 'add', 'br0', 'type', 'bridge']);
/** for each keeper its own */
const sockets = Array.from({ length: 8 }, () => checked(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), 'socket'));
send(Number(process.argv[2]), Buffer.from('sockets'), sockets);
process.stdin.on('end', () => process.exit(0)).resume();
