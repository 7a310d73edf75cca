/**
 * `--filter` of `events`: values of one key are or-ed, keys and labels are and-ed. Names and ids are matched by their
 * beginning, everything else whole, as moby does (daemon/events/filter.go). Decides only.
 */
import { HuskError } from '../../errors.ts';
import { hasLabel } from '../../notation/labels.ts';
import type { EventMessage, Filters } from '../contract.ts';

/** their actions go on behind a colon: `exec_create: sh -c true` */
const WITH_DETAIL = ['exec_create', 'exec_start', 'health_status'];

type Predicate = (event: EventMessage, value: string) => boolean;

/** Docker's keys whose kinds of things husk has not: they match nothing. */
const NEVER: Predicate = () => false;

const PREDICATES: Record<string, Predicate> = {
  container: named('container'),
  volume: named('volume'),
  network: named('network'),
  type: (event, value) => event.Type === value,
  image: (event, value) => imageNames(event).some((name) => name === value || withoutTag(name) === value),
  scope: (_event, value) => value === 'local',
  daemon: NEVER,
  plugin: NEVER,
  node: NEVER,
  service: NEVER,
  secret: NEVER,
  config: NEVER,
};

/** @throws HuskError `invalid` with Docker's text for a key that is not there */
export function eventFilter(filters: Filters): (event: EventMessage) => boolean {
  for (const key of Object.keys(filters))
    if (key !== 'label' && key !== 'event' && !Object.hasOwn(PREDICATES, key))
      throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
  return (event) =>
    Object.entries(filters).every(([key, values]) => {
      if (key === 'label') return values.every((value) => hasLabel(event.Actor.Attributes, value));
      if (key === 'event') return matchesAction(event.Action, values);
      return values.some((value) => PREDICATES[key]!(event, value));
    });
}

function matchesAction(action: string, values: string[]): boolean {
  const byBeginning = values.some((value) => WITH_DETAIL.includes(value));
  return values.some((value) => (byBeginning ? action.startsWith(value) : action === value));
}

function named(type: EventMessage['Type']): Predicate {
  return ({ Type, Actor }, value) =>
    Type === type && (Actor.ID.startsWith(value) || (Actor.Attributes['name'] ?? '').startsWith(value));
}

/** A container's event is one of its image as well. */
function imageNames({ Type, Actor }: EventMessage): string[] {
  const name = Actor.Attributes[Type === 'image' ? 'name' : 'image'];
  return [Actor.ID, ...(name === undefined ? [] : [name])];
}

function withoutTag(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}
