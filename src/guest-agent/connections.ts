/**
 * Resets the connections that a copied container had to other hosts: their other ends know the container copied, and
 * two that speak for one would harm both. What is connected within the container stays. Loaded only for a copy.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Fd } from '../host/fd.ts';
import { descriptorOfProcess, pidfdOpen } from '../host/kernel/process.ts';
import { SyscallError } from '../host/libc.ts';
import { disconnect } from '../host/streams/inet-socket.ts';

/** include/net/tcp_states.h, as /proc/net/tcp has it */
const LISTEN = '0A';
/** proc_pid_net(5): columns of a line of /proc/net/tcp */
const LOCAL = 1;
const STATE = 3;
const INODE = 9;
/** addresses there are the kernel's 32-bit words in hexadecimal, on x86-64 with the last byte first */
const LOOPBACK = [/^[0-9A-F]{6}7F$/, /^0{24}01000000$/, /^0{16}FFFF0000[0-9A-F]{6}7F$/];
const SOCKET = /^socket:\[(\d+)\]$/;

/**
 * Pure. @param table the text of /proc/net/tcp or tcp6
 * @returns inodes of the sockets that are connected to other hosts, or about to be
 */
export function outsideConnections(table: string): string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const columns = line.trim().split(/\s+/);
      const [address = ''] = (columns[LOCAL] ?? '').split(':');
      const inode = columns[INODE];
      if (inode === undefined || inode === '0' || columns[STATE] === LISTEN) return [];
      return LOOPBACK.some((loopback) => loopback.test(address)) ? [] : [inode];
    });
}

/**
 * The container's processes stand still meanwhile. Whoever has such a socket reads ECONNRESET from it.
 * @param pid of a process in the container's network namespace
 */
export function resetConnections(pid: number): void {
  const inodes = new Set(['tcp', 'tcp6'].flatMap((name) => outsideConnections(readTable(`/proc/${pid}/net/${name}`))));
  if (inodes.size === 0) return;
  const namespace = readlinkSync(`/proc/${pid}/ns/net`);
  for (const other of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    if (isIn(namespace, other)) resetOf(Number(other), inodes);
}

/** A guest without IPv6 has no table of it. */
function readTable(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function isIn(namespace: string, pid: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) === namespace;
  } catch {
    // it has ended
    return false;
  }
}

function resetOf(pid: number, inodes: ReadonlySet<string>): void {
  let process: Fd;
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
    process = pidfdOpen(pid);
  } catch {
    // it has ended
    return;
  }
  using held = process;
  for (const name of names) {
    const inode = SOCKET.exec(linkOf(`/proc/${pid}/fd/${name}`))?.[1];
    if (inode === undefined || !inodes.has(inode)) continue;
    try {
      using socket = descriptorOfProcess(held.number, Number(name));
      disconnect(socket.number);
    } catch (error) {
      // closed meanwhile, or ended
      if (!(error instanceof SyscallError)) throw error;
    }
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
