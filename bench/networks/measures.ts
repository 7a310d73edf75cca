/**
 * What is measured of networks, one function each, for one peer. Containers and networks that a measurement makes are
 * gone when it ends.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { timeCommand } from '../measure.ts';
import { pss, type Peer } from '../peers.ts';
import { onHost } from './host.ts';

/** the image of all containers here: a static busybox */
export const IMAGE = 'localhost/bench';
/** where the program traffic.c is, in a container */
const TRAFFIC = '/traffic';
const PORT = 5000;
/** ms of one stream */
const STREAM = 2000;
const CONNECTIONS = 1000;
const ROUND_TRIPS = 3000;
const QUESTIONS = 2000;
/** a host name; what is asked for by name */
const SERVER = 'server';
/** an idle process has given back what it will after this long */
const SETTLE_MS = 18_000;
const WITH_PORTS = 10;

/** A peer, and where its user finds the program traffic.c. */
export interface Measured extends Peer {
  traffic: string;
}

/** @returns what a command of the peer's prints. @throws when it fails */
export const call = (peer: Measured, ...words: string[]): string => onHost(peer, peer.command.at(-1)!, ...words);

/** Starts a container that serves traffic, or sleeps. @returns its id */
function background(peer: Measured, flags: readonly string[], command: readonly string[]): string {
  const mount = ['-v', `${peer.traffic}:${TRAFFIC}:ro`];
  // Podman's `rm -f` waits for what takes no notice of SIGTERM, as a first process does
  return call(peer, 'run', '-d', '--stop-signal', 'KILL', ...peer.runFlags, ...mount, ...flags, IMAGE, ...command);
}

async function server(peer: Measured, ...flags: string[]): Promise<string> {
  const id = background(peer, flags, [TRAFFIC, 'serve', String(PORT)]);
  while (call(peer, 'logs', id) !== 'ready') await sleep(10);
  return id;
}

export const idle = (peer: Measured, ...flags: string[]): string => background(peer, flags, ['sleep', '3600']);

export const remove = (peer: Measured, ...ids: string[]): string => call(peer, 'rm', '-f', ...ids);

export function removeAll(peer: Measured): void {
  const ids = call(peer, 'ps', '-aq').split('\n').filter(Boolean);
  if (ids.length > 0) remove(peer, ...ids);
}

/** ms of `run --rm … true` */
export const runTrue = (peer: Measured, ...flags: string[]): number =>
  timeCommand([...peer.command, 'run', '--rm', ...peer.runFlags, ...flags, IMAGE, 'true'], peer.environment);

let networks = 0;
/** ms of the same on a network on which nothing has run before */
export function runOnNewNetwork(peer: Measured): number {
  const name = `new-${networks++}`;
  call(peer, 'network', 'create', name);
  const milliseconds = runTrue(peer, '--network', name);
  call(peer, 'network', 'rm', name);
  return milliseconds;
}

/** What neighbours and clients of published ports see. */
interface Traffic {
  /** MB/s of one stream */
  bandwidth: number;
  connections: number;
  /** µs, median */
  roundTrip: number;
}

export const TRAFFIC_KINDS = [
  ['bandwidth', 'send', STREAM],
  ['connections', 'connect', CONNECTIONS],
  ['roundTrip', 'echo', ROUND_TRIPS],
] as const;

const traffic = (measure: (what: string, amount: number) => number): Traffic =>
  Object.fromEntries(TRAFFIC_KINDS.map(([name, what, amount]) => [name, measure(what, amount)])) as unknown as Traffic;

/** From one container to another on one network. */
export async function neighbours(peer: Measured, network: string): Promise<Traffic> {
  const ids = [await server(peer, '--network', network), idle(peer, '--network', network)];
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  const address = call(peer, 'inspect', '-f', format, ids[0]!);
  const measured = traffic((what, amount) =>
    Number(call(peer, 'exec', ids[1]!, TRAFFIC, what, address, String(PORT), String(amount))),
  );
  remove(peer, ...ids);
  return measured;
}

/** From this host's loopback to a container on a network of its own. */
export async function published(peer: Measured, network: string): Promise<Traffic> {
  const id = await server(peer, '--network', network, '-p', `127.0.0.1::${PORT}`);
  const [, port] = call(peer, 'port', id, `${PORT}/tcp`).split(':');
  const measured = traffic((what, amount) =>
    Number(onHost(peer, peer.traffic, what, '127.0.0.1', port!.trim(), String(amount))),
  );
  remove(peer, id);
  return measured;
}

/** µs, median: a name's address, asked by a neighbour. @param names how many more the network has */
export function lookUp(peer: Measured, network: string, names: number): number {
  const aliases = Array.from({ length: names }, (_none, index) => ['--network-alias', `name-${index}`]).flat();
  const ids = [
    idle(peer, '--network', network, '--network-alias', SERVER, ...aliases),
    idle(peer, '--network', network),
  ];
  const measured = Number(call(peer, 'exec', ids[1]!, TRAFFIC, 'ask', SERVER, String(QUESTIONS)));
  remove(peer, ...ids);
  return measured;
}

/** What stands beside each container, whatever its network. */
const BESIDE = /^(husk-supervisor|husk-monitor|husk-init|conmon)/;

/** Processes of the peer's user outside of containers, by pid, with their names. */
function processes(peer: Measured): Map<number, string> {
  const { uid } = statSync(peer.environment['XDG_DATA_HOME']!);
  const own = readlinkSync('/proc/self/ns/pid');
  const found = new Map<number, string>();
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      if (statSync(`/proc/${name}`).uid !== uid && !isOwnedBy(name, uid)) continue;
      if (readlinkSync(`/proc/${name}/ns/pid`) !== own) continue;
      found.set(Number(name), readFileSync(`/proc/${name}/comm`, 'utf8').trim());
    } catch {
      // it has ended
    }
  }
  return found;
}

/** A process that may not be looked into has files of root's: its status tells whose it is. */
const isOwnedBy = (pid: string, uid: number): boolean =>
  new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** MiB, PSS, of what ten containers with a published port each need beyond what stands beside every container. */
export async function memory(peer: Measured, network: string): Promise<{ all: number; parts: string }> {
  const before = processes(peer);
  const ids = Array.from({ length: WITH_PORTS }, () => idle(peer, '--network', network, '-p', `127.0.0.1::${PORT}`));
  await sleep(SETTLE_MS);
  const added = [...processes(peer)].filter(([pid, name]) => !before.has(pid) && !BESIDE.test(name));
  const sizes = new Map<string, number>();
  for (const [pid, name] of added) sizes.set(name, (sizes.get(name) ?? 0) + pss([pid]) / 1024);
  remove(peer, ...ids);
  const parts = [...sizes].toSorted(([, a], [, b]) => b - a).map(([name, size]) => `${name} ${size.toFixed(1)}`);
  return { all: sizes.values().reduce((total, size) => total + size, 0), parts: parts.join(', ') };
}
