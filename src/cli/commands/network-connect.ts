/** `husk network connect` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { toMap } from '../../notation/labels.ts';

export async function run({ flags, arguments: [network = '', container = ''], context }: Invocation): Promise<number> {
  const [linkLocal] = flags.list('link-local-ip');
  if (linkLocal !== undefined)
    throw new HuskError(`--link-local-ip ${linkLocal}: link-local addresses lead nowhere on a network of husk's`, {
      kind: 'unsupported',
      fix: 'leave --link-local-ip out',
    });
  const options = flags.list('driver-opt');
  for (const option of options)
    if (!/^[^=]+=/.test(option))
      throw new HuskError('invalid key/value pair format in driver options', { kind: 'invalid' });
  const [ipv4, ipv6] = [flags.optional('ip'), flags.optional('ip6')];
  const [aliases, links, gatewayPriority] = [flags.list('alias'), flags.list('link'), flags.number('gw-priority')];
  await (
    await context.engine()
  ).connect(network, container, {
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    ...(aliases.length > 0 && { aliases }),
    ...(links.length > 0 && { links }),
    ...(gatewayPriority !== undefined && { gatewayPriority }),
    ...(options.length > 0 && { driverOptions: toMap(options) }),
  });
  return 0;
}
