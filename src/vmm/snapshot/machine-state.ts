/**
 * Turns the state of a whole machine without its RAM into one plain object, and that object into a file. A snapshot is
 * this file and the RAM's (memory-file.ts). A snapshot is trusted only where husk itself wrote it, because anyone who
 * can change one can run anything in the guest.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { causeOf, HuskError } from '../../errors.ts';
import type { SerialState } from '../devices/legacy/serial.ts';
import type { TransportState } from '../devices/virtio/transport.ts';
import type { ContainerInMachine } from './container-state.ts';
import type { VcpuState, VmState } from './kvm-state.ts';

/** raised with every change of what a state means: an older snapshot is made again, never read */
export const STATE_VERSION = 3;

export interface MachineState {
  /** bytes of RAM */
  memory: number;
  vm: VmState;
  vcpus: VcpuState[];
  /** in the order of the machine's devices */
  devices: TransportState[];
  serial: SerialState;
  /** of a machine that was saved with a container in it; absent in a template */
  container?: ContainerInMachine;
}

/** "husk", then the version and the body's bytes as u32 little-endian, then the body's SHA-256 */
const MAGIC = Buffer.from('husk', 'latin1');
const VERSION_AT = 4;
const LENGTH_AT = 8;
const DIGEST_AT = 12;
const HEADER_SIZE = 44;

const digestOf = (body: Uint8Array) => createHash('sha256').update(body).digest();

export function writeState(state: MachineState, path: string): void {
  const body = serialize(state);
  const header = Buffer.alloc(HEADER_SIZE);
  MAGIC.copy(header);
  header.writeUInt32LE(STATE_VERSION, VERSION_AT);
  header.writeUInt32LE(body.length, LENGTH_AT);
  digestOf(body).copy(header, DIGEST_AT);
  writeFileSync(path, Buffer.concat([header, body]), { mode: 0o600 });
}

/**
 * Reads a state that is whole: the digest tells a damaged file, not a forged one.
 * @throws HuskError `not-found`, `corrupt` or `unsupported`, naming the file
 */
export function readState(path: string): MachineState {
  const file = read(path);
  const corrupt = (cause: string) => new HuskError(`cannot read the snapshot ${path}: ${cause}`, { kind: 'corrupt' });
  if (file.length < HEADER_SIZE || !file.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt('it is none of husk');
  const version = file.readUInt32LE(VERSION_AT);
  if (version !== STATE_VERSION)
    throw new HuskError(`the snapshot ${path} has version ${version}, this husk reads ${STATE_VERSION}`, {
      kind: 'unsupported',
    });
  const body = file.subarray(HEADER_SIZE);
  const length = file.readUInt32LE(LENGTH_AT);
  if (body.length !== length) throw corrupt(`it has ${body.length} bytes of state, not ${length}`);
  if (!digestOf(body).equals(file.subarray(DIGEST_AT, HEADER_SIZE))) throw corrupt('its bytes have changed');
  return deserialize(body) as MachineState;
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new HuskError(`cannot read the snapshot ${path}: ${causeOf(error)}`, { kind: 'not-found', cause: error });
  }
}
