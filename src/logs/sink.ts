/**
 * A log driver as its supervisor sees it: a listener of the container's output that accepts all of it, and may ask the
 * container to wait. This module has types only.
 */

export type Stream = 'stdout' | 'stderr';

/** One line of a log, or a piece of a line that was longer than an entry may be. */
export interface LogEntry {
  /** RFC 3339, nanoseconds */
  time: string;
  stream: Stream;
  /** the line with its end, if it had one; bytes that are not UTF-8 are replaced */
  text: string;
  /** the original bytes, where the driver kept them and they are not UTF-8 */
  bytes?: Uint8Array;
  /** `labels`, `env` and `tag` of the log options */
  attributes?: Record<string, string>;
}

/** The same shape as the fan-out's Listener. */
export interface LogSink {
  /** @returns bytes that wait to be written */
  output(stream: Stream, chunk: Buffer): number;
  /** Calls back once nothing waits to be written. */
  onceDrained(callback: () => void): void;
  /** Never set: a log may make the container wait as long as it needs. */
  readonly stallTimeout: undefined;
  drop(): void;
  /** Called at the end of the output: an unfinished line is written as it is, and waiting entries are sent. */
  end(): Promise<void>;
}

/** The sink of the driver `none`. */
export const noLog: LogSink = {
  output: () => 0,
  onceDrained: (callback) => callback(),
  stallTimeout: undefined,
  drop: () => {},
  end: async () => {},
};
