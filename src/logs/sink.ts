/**
 * What a log driver is to its supervisor: a listener of the container's output that takes all of it, and may ask the
 * container to wait. Types only.
 */

export type Stream = 'stdout' | 'stderr';

/** One line of a log, or a piece of a line that was longer than an entry may be. */
export interface LogEntry {
  /** RFC 3339, nanoseconds */
  time: string;
  stream: Stream;
  /** with its line end, if it had one; what is no UTF-8 is replaced */
  text: string;
  /** the bytes, where the driver kept them and they are no UTF-8 */
  bytes?: Uint8Array;
  /** `labels`, `env` and `tag` of the log options */
  attributes?: Record<string, string>;
}

/** The same shape as the fan-out's Listener. */
export interface LogSink {
  /** @returns bytes that wait to be written */
  output(stream: Stream, chunk: Buffer): number;
  /** calls back once nothing waits */
  onceDrained(callback: () => void): void;
  /** never set: a log may hold the container as long as it needs */
  readonly stallTimeout: undefined;
  drop(): void;
  /** the output has ended: an unfinished line is written as it is, and what waits goes out */
  end(): Promise<void>;
}

/** The driver `none`. */
export const noLog: LogSink = {
  output: () => 0,
  onceDrained: (callback) => callback(),
  stallTimeout: undefined,
  drop: () => {},
  end: async () => {},
};
