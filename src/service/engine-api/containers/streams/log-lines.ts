/** A container's log as payloads for a client: which output each line is of, and its text. */
import type { Engine, LogLine, LogOptions } from '../../../../engine/contract.ts';
import { logPrefix } from '../../../../notation/log-prefix.ts';
import { STDERR, STDOUT, type Payload } from '../../../http/multiplex.ts';

export interface AskedLog extends LogOptions {
  stdout: boolean;
  stderr: boolean;
  timestamps?: boolean;
  details?: boolean;
}

/**
 * @returns lines with what stands before them, as many at once as the engine has read at once
 * @throws HuskError `unsupported` for a driver that keeps no log here, before the first piece
 */
export async function* logLines(
  engine: Engine,
  container: string,
  { stdout, stderr, timestamps = false, details = false, ...options }: AskedLog,
): AsyncGenerator<Payload[]> {
  const prefix = logPrefix({ timestamps, details });
  const isShown = ({ stream }: LogLine): boolean => (stream === 'stdout' ? stdout : stderr);
  for await (const lines of engine.logBatches(container, options)) {
    const shown = lines.filter(isShown).map((line) => payloadOf(line, prefix(line)));
    if (shown.length > 0) yield shown;
  }
}

const payloadOf = (line: LogLine, prefix: string): Payload => ({
  stream: line.stream === 'stdout' ? STDOUT : STDERR,
  content: line.bytes ? Buffer.concat([Buffer.from(prefix), line.bytes]) : prefix + line.text,
});
