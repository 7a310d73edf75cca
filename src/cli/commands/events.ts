/** `husk events`: events as they happen, one per line. */
import type { EventMessage } from '../../engine/contract.ts';
import { eventJson } from '../../engine/look/event-json.ts';
import type { Invocation } from '../grammar/command.ts';
import { parseMoment } from '../../notation/moments.ts';
import type { Words } from '../output/format.ts';
import { objectFormat } from '../output/object-format.ts';
import { printable } from '../output/printable.ts';
import { localNanoseconds } from '../output/units.ts';
import { EVENT } from '../types/event.ts';
import { collectFilters } from '../../notation/filters.ts';

/** words of docker/cli cli/command/system/events.go */
const WORDS: Words = { parse: 'Error parsing format: ', execute: 'Error parsing format: ', exitCode: 64 };

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const formatted = format === '' ? undefined : objectFormat(format, EVENT, WORDS);
  const show = (event: EventMessage): string =>
    formatted ? formatted(eventJson(event), context.stdout) : printable(line(event), context.stdout);
  const moment = (flag: string): bigint | undefined =>
    flags.optional(flag) === undefined ? undefined : parseMoment(flags.string(flag), context.now());
  const stream = (await context.engine()).events({
    since: moment('since'),
    until: moment('until'),
    filters: collectFilters(flags.items<[string, string]>('filter')),
  });
  for await (const event of stream) {
    if (!context.stdout.write(`${show(event)}\n`))
      await new Promise<void>((resolve) => context.stdout.once('drain', resolve));
  }
  return 0;
}

function line({ time, Type, Action, Actor }: EventMessage): string {
  const attributes = Object.keys(Actor.Attributes)
    .sort()
    .map((key) => `${key}=${Actor.Attributes[key]}`);
  return `${localNanoseconds(time)} ${Type} ${Action} ${Actor.ID}${attributes.length > 0 ? ` (${attributes.join(', ')})` : ''}`;
}
