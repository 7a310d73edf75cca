/** Joins two logs of one output; the container waits for both. */
import type { LogSink } from './sink.ts';

export function both(first: LogSink, second: LogSink): LogSink {
  return {
    stallTimeout: undefined,
    output: (stream, chunk) => Math.max(first.output(stream, chunk), second.output(stream, chunk)),
    onceDrained: (callback) => first.onceDrained(() => second.onceDrained(callback)),
    drop: () => {},
    end: async () => void (await Promise.all([first.end(), second.end()])),
  };
}
