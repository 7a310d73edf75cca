/** What `husk network log` gives templates: husk's own, for Docker has no such command. Data only. */
import { int, omitEmpty, string, STRINGS, struct } from '../template/go-types.ts';

export const REFUSAL = struct('husk.Refusal', {
  Time: string,
  Container: string,
  ContainerID: string,
  Network: omitEmpty(string),
  Protocol: string,
  Destination: string,
  Port: omitEmpty(int),
  Reason: string,
  Rules: STRINGS,
});
