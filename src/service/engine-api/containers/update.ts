/** `POST /containers/X/update` */
import type { CreateOptions, ResourceRequest } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import type { Handler } from '../../http/contract.ts';
import { BodyFields } from '../../http/body-fields.ts';
import { readRestart } from './create/host-config.ts';
import { readResources } from './create/resources.ts';

/** Limits that are a container's for good: husk changes none of them, and Docker skips them in silence. */
const FOR_GOOD = ['CgroupParent', 'Devices', 'DeviceCgroupRules', 'DeviceRequests', 'Ulimits', 'Init'];

export const update: Handler = async ({ parameters, body }, engine) => {
  const { id } = engine.get(parameters['name']!);
  const change = readUpdate((await body.json()) ?? {});
  const warnings = await engine.update(id, change);
  return { kind: 'json', status: 200, value: { Warnings: warnings.length > 0 ? warnings : null } };
};

/** 0 and null leave a limit as it is; but a number of processes that is 0 or -1 is "none any more". */
export function readUpdate(body: unknown): { resources?: ResourceRequest; restart?: CreateOptions['restart'] } {
  const fields = new BodyFields(body);
  const refused = FOR_GOOD.find((field) => fields.asks(field));
  if (refused !== undefined)
    throw new HuskError(`${refused}: cannot be changed for a container that is made`, {
      kind: 'invalid',
      fix: 'leave it out, and make the container anew',
    });
  const resources = readResources(fields);
  const pids = fields.optionalInteger('PidsLimit');
  if (pids !== undefined) resources.pidsLimit = Math.max(pids, 0);
  const policy = fields.object('RestartPolicy');
  return {
    ...(Object.values(resources).some((value) => value !== undefined) && { resources }),
    ...(policy?.asks('Name') && { restart: readRestart(policy) }),
  };
}
