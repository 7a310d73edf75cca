/** `husk network log`: what rules of --egress have refused, a line each. */
import type { RefusedConnection } from '../../engine/contract.ts';
import { parseMoment } from '../../notation/moments.ts';
import type { Invocation } from '../grammar/command.ts';
import { objectFormat } from '../output/object-format.ts';
import { printable } from '../output/printable.ts';
import { localNanoseconds } from '../output/units.ts';
import { REFUSAL } from '../types/refusal.ts';

const MICROSECONDS_PER_MS = 1000;
/** rules that a line names; a container may have 256, which `inspect` and --format show */
const MOST_RULES = 8;

export async function run({ flags, arguments: [of], context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const formatted = format === '' ? undefined : objectFormat(format, REFUSAL);
  const stream = (await context.engine()).refusals({
    ...(of !== undefined && { of }),
    follow: flags.bool('follow'),
    ...(flags.optional('since') !== undefined && { since: parseMoment(flags.string('since'), context.now()) }),
  });
  for await (const refusal of stream) {
    const text = formatted ? formatted(message(refusal), context.stdout) : printable(line(refusal), context.stdout);
    if (!context.stdout.write(`${text}\n`)) await new Promise<void>((resolve) => context.stdout.once('drain', resolve));
  }
  return 0;
}

function line(refusal: RefusedConnection): string {
  const { time, container, network, protocol, destination, port, reason, rules } = refusal;
  const address = destination.includes(':') ? `[${destination}]` : destination;
  return [
    localNanoseconds(time * MICROSECONDS_PER_MS),
    container.name,
    ...(network === undefined ? [] : [network]),
    protocol,
    port === undefined ? destination : `${address}:${port}`,
    `(${[reason, ...noneOf(rules)].join('; ')})`,
  ].join(' ');
}

/** Which rules decided: all of the container's, none of which is about it. */
function noneOf(rules: readonly string[]): string[] {
  if (rules.length === 0) return [];
  const others = rules.length - MOST_RULES;
  return [`none of: ${rules.slice(0, MOST_RULES).join(', ')}${others > 0 ? ` and ${others} others` : ''}`];
}

function message(refusal: RefusedConnection): object {
  const { time, container, network, protocol, destination, port, reason, rules } = refusal;
  return {
    Time: new Date(time).toISOString(),
    Container: container.name,
    ContainerID: container.id,
    ...(network !== undefined && { Network: network }),
    Protocol: protocol,
    Destination: destination,
    ...(port !== undefined && { Port: port }),
    Reason: reason,
    Rules: [...rules],
  };
}
