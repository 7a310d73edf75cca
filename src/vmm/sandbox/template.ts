/**
 * Makes a template: a machine that has booted until its agent waits to be told what it is, in two files. No container
 * has been in it. It is tried once: on a host where no machine goes on from what was saved, every start would fail.
 */
import type { HuskError } from '../../errors.ts';
import { assembleTemplate, type VmParts } from './assemble.ts';
import { Guest } from './guest.ts';
import { readState } from '../snapshot/machine-state.ts';
import type { MachineShape } from '../templates/shape.ts';

/**
 * @param place.share an empty folder @param place.state, place.memory paths of the files, which are not there yet
 * @throws HuskError when the machine does not come up, or does not go on from the files
 */
export async function makeTemplate(
  shape: MachineShape,
  { parts, share, ...files }: { parts: VmParts; share: string; state: string; memory: string },
): Promise<void> {
  const on = { onNotice: () => {}, onEnd: (_told: HuskError | undefined) => {} };
  const guest = new Guest((hooks) => assembleTemplate(shape, { ...hooks, parts, share }), on);
  await guest.saveWaiting(files);
  const template = { state: readState(files.state), memory: files.memory };
  const copy = new Guest((hooks) => assembleTemplate(shape, { ...hooks, parts, share, template }), on, {
    serves: true,
  });
  await copy.tryOut();
}
