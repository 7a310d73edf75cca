/** `ExposedPorts` and `HostConfig.PortBindings`, as the texts of --expose and --publish. */
import { isIPv6 } from 'node:net';
import type { CreateOptions } from '../../../../engine/contract.ts';
import { parseExpose } from '../../../../notation/ports.ts';
import type { BodyFields } from '../../../http/body-fields.ts';
import { refusing } from './refusing.ts';

/** @throws HuskError `invalid` in Docker's words */
export function readPorts(
  body: BodyFields,
  host: BodyFields,
): Pick<CreateOptions, 'expose' | 'publish' | 'publishAll'> {
  const bindings = host.lists('PortBindings');
  // A port with an empty list is exposed and not published, unless all are.
  const unbound = bindings.filter(([, list]) => list.length === 0).map(([port]) => port);
  return {
    expose: [
      ...new Set([...body.names('ExposedPorts'), ...unbound].flatMap((port) => refusing(() => parseExpose(port)))),
    ],
    publish: bindings.flatMap(([port, list]) => list.map((binding) => publishText(port, binding))),
    publishAll: host.flag('PublishAllPorts'),
  };
}

/** @returns `[::1]:8080:80/tcp`; the port 0 of the host is any free one */
function publishText(port: string, binding: BodyFields): string {
  const ip = binding.text('HostIp');
  const hostPort = binding.text('HostPort');
  return `${isIPv6(ip) ? `[${ip}]` : ip}:${hostPort === '0' ? '' : hostPort}:${port}`;
}
