/** How a container's outputs are told apart on a connection: with a terminal there is one, else they are in frames. */
import type { ApiVersion } from '../../../http/contract.ts';

/** API 1.42 was the first that said so in the answer's head. */
const NAMED_SINCE = 42;

export type StreamType = 'application/vnd.docker.raw-stream' | 'application/vnd.docker.multiplexed-stream';

export function streamType(tty: boolean, version: ApiVersion): StreamType {
  return tty || version.minor < NAMED_SINCE
    ? 'application/vnd.docker.raw-stream'
    : 'application/vnd.docker.multiplexed-stream';
}
