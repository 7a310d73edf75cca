/** The limits of RUN steps, checked before anything is built: what this host cannot enforce is refused. */
import type { BuildSettings } from '../../../build-sandbox.ts';
import { checkCgroupParent, checkLimits } from '../../../container/cgroup/cgroup.ts';
import { findDelegation } from '../../../container/cgroup/delegation.ts';
import type { BuildOptions } from '../../build-contract.ts';
import { limitFacts } from '../../create/host-facts.ts';
import { resources } from '../../create/spec/limits.ts';
import { readLimits } from '../../request/request.ts';

/**
 * @param note is told what has no effect here
 * @throws HuskError `invalid` in Docker's words, `unsupported` naming the flag that cannot be enforced and the fix
 */
export function runLimits(
  { limits = {}, cgroupParent }: Pick<BuildOptions, 'limits' | 'cgroupParent'>,
  note: (text: string) => void,
): Pick<BuildSettings, 'resources' | 'cgroupParent'> {
  const delegation = findDelegation({ runtimeDir: process.env['XDG_RUNTIME_DIR'] });
  if (cgroupParent) checkCgroupParent(cgroupParent, delegation);
  const asked = resources(readLimits(limits), limitFacts());
  for (const text of checkLimits(asked, delegation)) note(text);
  return { resources: asked, ...(cgroupParent && { cgroupParent }) };
}
