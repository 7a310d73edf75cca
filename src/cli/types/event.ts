/** The type that `docker events` gives templates: events.Message of moby 28.2. This module has data only. */
import { int, named, omitEmpty, string, STRING_MAP, struct } from '../template/go-types.ts';

export const EVENT = struct('events.Message', {
  Status: omitEmpty(string, 'status'),
  ID: omitEmpty(string, 'id'),
  From: omitEmpty(string, 'from'),
  Type: named('string', 'events.Type'),
  Action: named('string', 'events.Action'),
  Actor: struct('events.Actor', { ID: string, Attributes: STRING_MAP }),
  Scope: omitEmpty(string, 'scope'),
  Time: omitEmpty(int, 'time'),
  TimeNano: omitEmpty(int, 'timeNano'),
});
