/** `husk events`: what happens, a line each, as it happens. */
import type { EventMessage } from '../../engine/contract.ts';
import type { Invocation } from '../command.ts';
import { parseMoment } from '../grammar/moment.ts';
import { collectFilters } from '../grammar/values.ts';
import { parseFormat, render } from '../output/format.ts';
import { printable } from '../output/printable.ts';
import { localNanoseconds } from '../output/units.ts';
import { goJson } from '../template/json.ts';

const NANOSECONDS_PER_MICROSECOND = 1000;
const MICROSECONDS_PER_SECOND = 1_000_000;

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const template = format === '' || format === 'json' ? undefined : parseFormat(format);
  const show = template ? (event: EventMessage) => render(template, message(event)) : format === 'json' ? (event: EventMessage) => goJson(message(event)) : line;
  const moment = (flag: string): number | undefined => (flags.optional(flag) === undefined ? undefined : parseMoment(flags.string(flag), context.now()));
  const stream = (await context.engine()).events({ since: moment('since'), until: moment('until'), filters: collectFilters(flags.items<[string, string]>('filter')) });
  for await (const event of stream) {
    if (!context.stdout.write(`${printable(show(event), context.stdout)}\n`)) await new Promise<void>((resolve) => context.stdout.once('drain', resolve));
  }
  return 0;
}

function line({ time, Type, Action, Actor }: EventMessage): string {
  const attributes = Object.keys(Actor.Attributes).sort().map((key) => `${key}=${Actor.Attributes[key]}`);
  return `${localNanoseconds(time)} ${Type} ${Action} ${Actor.ID}${attributes.length > 0 ? ` (${attributes.join(', ')})` : ''}`;
}

/** Docker's JSON of an event; templates know its Go names as well: `{{.Status}}`, `{{.TimeNano}}` */
function message({ time, Type, Action, Actor }: EventMessage): object {
  const old = { ...(Type === 'container' || Type === 'image' ? { status: Action, id: Actor.ID } : {}), ...(Type === 'container' && Actor.Attributes['image'] ? { from: Actor.Attributes['image'] } : {}) };
  const data = {
    ...old,
    Type,
    Action,
    Actor: { ID: Actor.ID, Attributes: new Map(Object.entries(Actor.Attributes)) },
    scope: 'local',
    time: Math.floor(time / MICROSECONDS_PER_SECOND),
    timeNano: time * NANOSECONDS_PER_MICROSECOND,
  };
  const names = { Status: old.status ?? '', ID: old.id ?? '', From: old.from ?? '', Scope: data.scope, Time: data.time, TimeNano: data.timeNano };
  // seen by templates, not by {{json .}}
  return Object.defineProperties(data, Object.fromEntries(Object.entries(names).map(([name, value]) => [name, { value, enumerable: false }])));
}
