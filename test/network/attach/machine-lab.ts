/**
 * Machines on networks without a machine, for tests: this process writes and reads the frames of their devices, and
 * another one stands for the monitor that has the descriptors. Not a test itself.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fd } from '../../../src/host/fd.ts';
import { readPacket } from '../../../src/host/streams/packet-fd.ts';
import { addressBytes, macBytes } from '../../../src/host/streams/address-bytes.ts';
import { FIRST_INHERITED, launch } from '../../../src/launch/executor.ts';
import { MachinePlace, type MachineRequest } from '../../../src/network/attach/machine.ts';
import { openNetworks } from '../../../src/network/records/networks.ts';
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { INIT_PROGRAM } from '../../../src/program.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { identifySelf, isAlive, type ProcessIdentity } from '../../../src/state/process-identity.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

/** ms; a machine with much to do is slow */
export const PATIENCE = 60_000;

export async function until(holds: () => boolean): Promise<boolean> {
  for (const start = Date.now(); Date.now() - start < PATIENCE; await sleep(20)) if (holds()) return true;
  return holds();
}

const keepers: ProcessIdentity[] = [];

/**
 * For `after.always`: this process has started keepers, which linger for seconds. One that ends while Node takes itself
 * apart calls back into what is not there any more, and the process aborts (koffi's poll handles).
 */
export async function keepersHaveEnded(): Promise<void> {
  await until(() => !keepers.some(isAlive));
}

export function laboratory() {
  const dataRoot = temporaryFolder('husk-machine-');
  const database = openDatabase(join(dataRoot, 'husk.db'));
  const networks = openNetworks({ database, config: {}, running: () => [], routes: () => [] });
  const records = new NetworkRecords(database);
  const host = { database, dataRoot, runtimeDir: join(dataRoot, 'run') };
  const problems: string[] = [];
  /** @param on names of networks */
  const place = async (number: number, on: readonly string[], more: Partial<MachineRequest> = {}) => {
    const containerId = String(number).padStart(64, '0');
    const known = on.map((name) => networks.get(name));
    for (const { id, name } of known)
      records.want({ networkId: id, network: name, containerId, wanted: { aliases: [`alias${number}`] } });
    const taker = { database, containerId, name: `m${number}`, hostname: `h${number}`, claim: identifySelf() };
    const made = await MachinePlace.make(taker, host, {
      known,
      publish: [],
      hosts: [],
      problem: (text) => problems.push(text),
      ...more,
    });
    keepers.push(...made.places.map(({ active }) => active.keeper));
    return made;
  };
  return { dataRoot, database, networks, place, problems };
}

/** an Ethernet frame with an ICMP echo request of IPv4 (RFC 792), which carries this text */
export function ping(
  from: { mac: string; address: string },
  to: { mac: string; address: string },
  text: string,
): Buffer {
  const echo = Buffer.concat([Buffer.from([8, 0, 0, 0, 0, 1, 0, 1]), Buffer.from(text)]);
  echo.writeUInt16BE(checksum(echo), 2);
  const header = Buffer.alloc(20);
  header.set([0x45, 0, 0, 0, 0, 1, 0, 0, 64, 1]);
  header.writeUInt16BE(20 + echo.length, 2);
  header.set(addressBytes(from.address), 12);
  header.set(addressBytes(to.address), 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([macBytes(to.mac), macBytes(from.mac), Buffer.from([8, 0]), header, echo]);
}

/** RFC 1071 */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/** RFC 826: `from` has its address */
export function announcement(from: { mac: string; address: string }, to: { mac: string; address: string }): Buffer {
  const [own, their] = [addressBytes(from.address), addressBytes(to.address)];
  const head = Buffer.from('08060001080006040002', 'hex');
  return Buffer.concat([macBytes(to.mac), macBytes(from.mac), head, macBytes(from.mac), own, macBytes(to.mac), their]);
}

export const isQuestion = (frame: Buffer) => frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 1;

/** Reads until a frame is one of those wanted. */
export async function heard(link: Fd, is: (frame: Buffer) => boolean): Promise<boolean> {
  const frame = Buffer.alloc(65_600);
  return until(() => {
    for (let length; (length = readPacket(link.number, frame));)
      if (is(Buffer.from(frame.subarray(0, length)))) return true;
    return false;
  });
}

export const partOf = ({ told }: MachinePlace, index = 0) => ({
  mac: told.interfaces[index]!.mac,
  address: told.interfaces[index]!.addresses[0]!.address,
});

/** A process that has the place's descriptors and nothing else, as a monitor in its jail. */
export async function monitor(place: MachinePlace): Promise<{ pid: number; kill(): void; exited: Promise<unknown> }> {
  const inherit = [...place.links, ...place.namespaces, ...place.forwarder].map(({ number }) => number);
  const launched = launch(
    [
      { op: 'closeFrom', fd: FIRST_INHERITED + inherit.length },
      { op: 'environment', env: [] },
      { op: 'exec', args: ['/bin/sleep', '1000'] },
    ],
    { init: INIT_PROGRAM, stdin: 'null', stdout: 'null', stderr: 'null', inherit },
  );
  await launched.started;
  return { pid: await launched.pid, kill: () => launched.signal(9), exited: launched.exited };
}
