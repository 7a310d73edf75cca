/** Files in and out of a guest: one request, a stream each way. The bytes are the guest's, and only passed on. */
import { PassThrough, type Duplex, type Readable } from 'node:stream';
import type { StreamToken } from '../../agent-protocol.ts';
import type { FilesRequest } from '../../sandbox.ts';
import type { Guest } from './guest.ts';

export function transferFiles(
  guest: Pick<Guest, 'agent' | 'ended'>,
  request: FilesRequest,
  input: Readable | undefined,
): Readable {
  const { agent } = guest;
  const output = new PassThrough();
  const received = Promise.withResolvers<void>();
  const streams: StreamToken[] = [];
  const expect = (onOpen: (stream: Duplex) => void) => streams.push(agent.expectStream(onOpen));
  expect((stream) => {
    stream.end(); // nothing is said on an output
    stream.on('error', () => {});
    stream.on('close', received.resolve);
    output.on('close', () => stream.destroy());
    if (output.destroyed) stream.destroy();
    stream.pipe(output, { end: false });
  });
  if (input) {
    expect((stream) => {
      stream.on('error', () => {});
      stream.on('close', () => input.resume());
      input.on('error', () => stream.destroy());
      // the host's side may have failed before the guest asked for it
      if (input.destroyed) stream.destroy();
      else input.pipe(stream);
    });
  }
  const [out, into] = streams;
  agent
    .request({ type: 'files', request, output: out!, ...(into !== undefined && { input: into }) })
    // the machine's end closes what is still open
    .then(() => Promise.race([received.promise, guest.ended]))
    .then(
      () => (input?.errored ? output.destroy(input.errored) : output.end()),
      // an input that failed is why the guest's half of it was broken
      (error: unknown) => output.destroy(input?.errored ?? (error as Error)),
    )
    .finally(() => {
      for (const stream of streams) agent.forgetStream(stream);
      input?.resume();
    });
  return output;
}
