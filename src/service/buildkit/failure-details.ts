/**
 * Where a build failed, as BuildKit's clients show it: the lines of the Dockerfile around the place. Pure.
 *
 * Source: moby/buildkit util/grpcerrors, solver/errdefs/source.go; google/rpc/status.proto.
 */
import type { FailurePlace } from '../../engine/build/failure.ts';
import { bytes, message, number, text } from './wire.ts';

/** the name that clients have registered the message under, whose value is then JSON */
const SOURCE = 'github.com/moby/buildkit/errdefs.Source+json';
/** bytes of a Dockerfile that still fits into the headers of an answer */
const MAX_FILE = 24 << 10;

/** @returns google.rpc.Status; undefined for a file that is too large for a header */
export function failureDetails(
  code: number,
  failure: string,
  { file, lines, range }: FailurePlace,
): Buffer | undefined {
  const content = Buffer.from(lines.join('\n'));
  if (content.length > MAX_FILE) return undefined;
  const source = {
    info: { filename: file, data: content.toString('base64'), language: 'Dockerfile' },
    ranges: [{ start: { line: range.start }, end: { line: range.end } }],
  };
  const detail = message(text(1, SOURCE), bytes(2, JSON.stringify(source)));
  return message(number(1, code), text(2, failure), bytes(3, detail));
}
