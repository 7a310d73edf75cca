/** The body of `POST /containers/create` as the engine's request. Nothing is looked up: that is the engine's. Pure. */
import type { CreateOptions } from '../../../../engine/contract.ts';
import { HuskError } from '../../../../errors.ts';
import type { ApiVersion } from '../../../http/contract.ts';
import { BodyFields } from '../../../http/body-fields.ts';
import { readConfig } from './config.ts';
import { readHostConfig } from './host-config.ts';
import { readMounts } from './mounts.ts';
import { readNetworks } from './networks.ts';
import { readPorts } from './ports.ts';

/** @throws HuskError `invalid`, naming the field */
export function createOptions(
  body: unknown,
  asked: { name?: string; platform?: string; version: ApiVersion },
): CreateOptions {
  if (body === undefined || body === null || (typeof body === 'object' && Object.keys(body).length === 0))
    throw new HuskError('config cannot be empty in order to create a container', { kind: 'invalid' });
  const fields = new BodyFields(body);
  const host = fields.object('HostConfig') ?? new BodyFields({}, 'HostConfig');
  const config = readConfig(fields);
  if (config.image === '') throw new HuskError('no image specified', { kind: 'invalid', fix: 'send Image' });
  return {
    ...config,
    ...readHostConfig(host),
    ...readMounts(fields, host),
    ...readNetworks(fields, host, asked.version),
    ...readPorts(fields, host),
    name: asked.name,
    platform: asked.platform,
    // The client pulls, when it has been told that there is none.
    pull: 'never',
  };
}
