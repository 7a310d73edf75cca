/**
 * Makes a template: a machine that has booted until its agent waits to be told what it is, in two files. No container
 * has been in it.
 */
import type { HuskError } from '../../errors.ts';
import { assembleTemplate, type VmParts } from './assemble.ts';
import { Guest } from './guest.ts';
import type { MachineShape } from '../templates/shape.ts';

/**
 * @param place.share an empty folder @param place.state, place.memory paths of the files, which are not there yet
 * @throws HuskError when the machine does not come up
 */
export async function makeTemplate(
  shape: MachineShape,
  { parts, share, ...files }: { parts: VmParts; share: string; state: string; memory: string },
): Promise<void> {
  const guest = new Guest((hooks) => assembleTemplate(shape, { ...hooks, parts, share }), {
    onNotice: () => {},
    onEnd: (_told: HuskError | undefined) => {},
  });
  await guest.saveWaiting(files);
}
