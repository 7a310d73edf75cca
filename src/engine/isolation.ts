/**
 * Which isolation a container gets. `vm` asked for by name never becomes anything else: what is missing is said, with the fix.
 * `auto` is user namespaces until VM containers have networks.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../program.ts';
import type { Isolation } from '../sandbox.ts';
import type { CreateOptions } from './contract.ts';

const KVM = '/dev/kvm';

/** @returns the isolation, and the network where the isolation narrows it. @throws HuskError `unsupported` */
export function chooseIsolation(options: Pick<CreateOptions, 'isolation' | 'network'>): { isolation: Isolation; network: string; warning?: string } {
  const { network } = options;
  if (options.isolation !== 'vm') return { isolation: 'userns', network };
  checkKvm();
  if (network === 'none') return { isolation: 'vm', network };
  if (network !== 'default') throw unsupported(`--network ${network} is not there yet for --isolation=vm`, 'use --network none, or --isolation=userns');
  return { isolation: 'vm', network: 'none', warning: 'VM containers have no network yet: this one runs with --network none' };
}

function checkKvm(): void {
  for (const part of [GUEST_KERNEL, AGENT_DISK, WRITABLE_DISK]) if (!existsSync(part)) throw unsupported(`cannot run a container in a VM: ${part} is missing`, 'build it: make set-up-vm vm');
  if (!existsSync(KVM)) throw unsupported(`cannot run a container in a VM: this host has no ${KVM}`, 'enable virtualisation in the firmware (or nested virtualisation), load kvm_intel or kvm_amd, or use --isolation=userns');
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK);
  } catch {
    throw unsupported(`cannot run a container in a VM: ${KVM} may not be opened by you`, 'sudo usermod -aG kvm $USER, and log in again');
  }
}

function unsupported(message: string, fix: string): HuskError {
  return new HuskError(message, { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, fix });
}
