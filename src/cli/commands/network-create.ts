/** `husk network create` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { ipamRequests } from '../grammar/ipam-flags.ts';
import { toMap } from '../../notation/labels.ts';

export async function run({ flags, arguments: [name = ''], context }: Invocation): Promise<number> {
  refuseElsewhere(flags);
  const ipam = ipamRequests({
    subnets: flags.list('subnet'),
    ranges: flags.list('ip-range'),
    gateways: flags.list('gateway'),
    auxiliary: toMap(flags.list('aux-address')),
  });
  const networks = await (await context.engine()).networks();
  const { id } = networks.create({
    name,
    driver: flags.string('driver'),
    options: toMap(flags.list('opt')),
    labels: toMap(flags.list('label')),
    internal: flags.bool('internal'),
    attachable: flags.bool('attachable'),
    ipv4: flags.bool('ipv4'),
    ipv6: flags.bool('ipv6'),
    ipam,
  });
  context.stdout.write(`${id}\n`);
  return 0;
}

/** Refuses options that only a Swarm or a plugin can serve. */
function refuseElsewhere(flags: FlagSet): void {
  for (const flag of ['config-only', 'ingress'])
    if (flags.bool(flag)) throw notHere(`--${flag}: networks of a Swarm are not husk's`, `leave --${flag} out`);
  if (flags.optional('config-from') !== undefined)
    throw notHere("--config-from: networks of a Swarm are not husk's", 'leave --config-from out');
  const scope = flags.optional('scope') ?? 'local';
  if (scope !== 'local') throw notHere(`--scope ${scope}: networks are of this machine`, 'use --scope local');
  const driver = flags.optional('ipam-driver') ?? 'default';
  if (driver !== 'default')
    throw notHere(`--ipam-driver ${driver}: plugin "${driver}" not found`, 'use --ipam-driver default');
  const [option] = flags.list('ipam-opt');
  if (option !== undefined)
    throw notHere(`--ipam-opt ${option}: the driver of addresses has no options`, 'leave --ipam-opt out');
}

function notHere(message: string, fix: string): HuskError {
  return new HuskError(message, { kind: 'unsupported', fix });
}
