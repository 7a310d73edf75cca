/**
 * A whole machine but its RAM, as one plain object, and that object as a file. A snapshot is this file and the RAM's
 * (memory-file.ts). Believed only where husk itself wrote it: whoever can change a snapshot can run anything in the
 * guest.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { causeOf, HuskError } from '../../errors.ts';
import type { SerialState } from '../devices/legacy/serial.ts';
import type { TransportState } from '../devices/virtio/transport.ts';
import type { VcpuState, VmState } from './kvm-state.ts';

/** raised with every change of what a state means: an older snapshot is made anew, never read */
export const STATE_VERSION = 1;

export interface MachineState {
  version: number;
  /** bytes of RAM */
  memory: number;
  vm: VmState;
  vcpus: VcpuState[];
  /** in the order of the machine's devices */
  devices: TransportState[];
  serial: SerialState;
}

export function writeState(state: MachineState, path: string): void {
  writeFileSync(path, serialize(state), { mode: 0o600 });
}

/** @throws HuskError `corrupt` or `unsupported`, naming the file */
export function readState(path: string): MachineState {
  let state: unknown;
  try {
    state = deserialize(readFileSync(path));
  } catch (error) {
    throw new HuskError(`cannot read the snapshot ${path}: ${causeOf(error)}`, { kind: 'corrupt', cause: error });
  }
  const version = (state as MachineState | null)?.version;
  if (version !== STATE_VERSION)
    throw new HuskError(`the snapshot ${path} has version ${version}, this husk reads ${STATE_VERSION}`, {
      kind: 'unsupported',
    });
  return state as MachineState;
}
