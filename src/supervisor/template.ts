/**
 * The internal program `template`: makes the template of a shape, beside whatever else goes on, and leaves. It needs no
 * jail: what runs in this machine is husk's own kernel, agent and first container, before there is anything of others.
 */
import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { setPriority } from 'node:os';
import { spawn } from 'node:child_process';
import { AGENT_DISK, GUEST_KERNEL, INTERNAL, SELF, WRITABLE_DISK } from '../program.ts';
import type { Spec } from '../spec.ts';
import type { MachineShape } from '../vmm/templates/shape.ts';
import { makeTemplate } from '../vmm/sandbox/template.ts';
import { unpackSparse } from '../vmm/sparse-template.ts';
import { addTemplate, templateKey } from '../vmm/templates/folder.ts';

/** setpriority(2): what people wait for comes first */
const PRIORITY = 10;

interface Order {
  /** path of the folder of templates */
  folder: string;
  shape: MachineShape;
  /** of the container that is run in the machine first; undefined: none is */
  spec?: Spec | undefined;
}

/** @param args an Order as JSON */
export async function main(args: string[]): Promise<number> {
  process.title = 'husk-template';
  setPriority(PRIORITY);
  const { folder, shape, spec } = JSON.parse(args[0]!) as Order;
  await addTemplate(folder, keyOf(shape), async ({ state, memory }) => {
    const share = `${state}-share`;
    const disk = `${state}-disk`;
    mkdirSync(share);
    if (spec) unpackSparse(WRITABLE_DISK, disk);
    await makeTemplate(shape, {
      parts: { kernel: GUEST_KERNEL, agentDisk: AGENT_DISK },
      share,
      state,
      memory,
      rehearsal: spec && { spec, disk },
    });
    rmdirSync(share);
    rmSync(disk, { force: true });
  });
  process.exit(0);
}

/** The name of the template that this husk makes of a shape. */
export const keyOf = (shape: MachineShape): string => templateKey(shape, [GUEST_KERNEL, AGENT_DISK, SELF.at(-1)!]);

/** Has a process of its own make the template, for which nobody waits. */
export function orderTemplate(order: Order): void {
  const child = spawn(SELF[0], [...SELF.slice(1), INTERNAL, 'template', JSON.stringify(order)], {
    stdio: 'ignore',
    detached: true,
    cwd: '/',
  });
  child.on('error', () => {});
  child.unref();
}
