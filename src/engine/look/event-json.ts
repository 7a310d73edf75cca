/**
 * Docker's JSON of an event (events.Message of its Engine API up to 1.51): containers and images are told a second
 * time by the fields that older clients read. Pure.
 */
import type { EventMessage } from '../contract.ts';

const NANOSECONDS_PER_MICROSECOND = 1000;
const MICROSECONDS_PER_SECOND = 1_000_000;

export function eventJson({ time, Type, Action, Actor }: EventMessage): object {
  return {
    ...(Type === 'container' || Type === 'image' ? { status: Action, id: Actor.ID } : {}),
    ...(Type === 'container' && Actor.Attributes['image'] ? { from: Actor.Attributes['image'] } : {}),
    Type,
    Action,
    Actor,
    scope: 'local',
    time: Math.floor(time / MICROSECONDS_PER_SECOND),
    timeNano: time * NANOSECONDS_PER_MICROSECOND,
  };
}
