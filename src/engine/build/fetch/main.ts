/**
 * The internal program `fetch`: gets what a build takes from the network, in a sandbox that has nothing of the host's
 * but programs and certificates, and whose network is that of a RUN (src/rootless/build/fetch.ts). It reads one
 * FetchJob, a line of JSON, from STDIN, and says frames (frames.ts) on STDOUT.
 */
import { createInterface } from 'node:readline';
import { causeOf, HuskError } from '../../../errors.ts';
import { dataFrames, messageFrame, type FetchJob } from './frames.ts';
import type { Sink } from './http.ts';

export async function main([work = '']: string[]): Promise<number> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => (await lines.next()).value ?? '';
  const sink: Sink = {
    say: (said) => write(messageFrame(said)),
    data: async (bytes) => {
      for (const frame of dataFrames(bytes)) await write(frame);
    },
  };
  try {
    const job = JSON.parse(await next()) as FetchJob;
    if (job.kind === 'http') await (await import('./http.ts')).fetchHttp(job, sink);
    else
      await (
        await import('./git.ts')
      ).fetchGit(job, sink, {
        go: async () => (await next()) === 'go',
        place: { work, ...(job.env && { env: job.env }) },
      });
    await sink.say({ type: 'done' });
  } catch (error) {
    const known = error instanceof HuskError ? error : undefined;
    await sink.say({
      type: 'failed',
      kind: known?.kind === 'start-failed' ? 'internal' : (known?.kind ?? 'internal'),
      message: (known?.message ?? causeOf(error)).slice(0, 4000),
      ...(known?.fix !== undefined && { fix: known.fix }),
    });
  }
  process.stdin.destroy();
  return 0;
}

/** Resolves when the reader keeps up. */
function write(frame: Buffer): Promise<void> {
  return new Promise((resolve, reject) => process.stdout.write(frame, (error) => (error ? reject(error) : resolve())));
}
