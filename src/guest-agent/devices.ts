/**
 * What a container in this machine may do with the machine itself: its devices, and who is killed when memory runs out.
 */
import { closeSync, openSync } from 'node:fs';
import { devicesAt } from '../container/device-nodes.ts';
import { deviceProgram, deviceRules } from '../container/device-rules.ts';
import { attachDeviceProgram } from '../host/kernel/bpf.ts';
import type { Step } from '../launch/plan.ts';
import type { Spec } from '../spec.ts';

/**
 * The agent's own protection from the OOM killer is inherited; a container nobody may kill would hang at its memory
 * limit.
 */
export const KILLABLE: Step = { op: 'writeFile', path: '/proc/self/oom_score_adj', content: '0' };

/** The devices of this machine, for a container that has every right in it. */
export function withDevices(spec: Spec): Spec {
  if (!spec.linux.allDevices) return spec;
  return { ...spec, linux: { ...spec.linux, devices: [...(devicesAt('/dev') ?? []), ...(spec.linux.devices ?? [])] } };
}

/**
 * The disks of this machine, its memory and its kernel's log are devices that a container's root could make nodes of.
 */
export function holdDevices(path: string, { devices = [], resources }: Spec['linux']): void {
  const folder = openSync(path, 'r');
  try {
    attachDeviceProgram(folder, deviceProgram(deviceRules(devices, resources?.devices)));
  } finally {
    closeSync(folder);
  }
}
