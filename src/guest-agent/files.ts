/**
 * The container's files, in the guest: answers of src/container/files as streams to the host, a piece at a time, so
 * that other requests are served between two pieces. Reads and writes by descriptors below the container's root only.
 */
import { mkdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { once } from 'node:events';
import type { Request } from '../agent-protocol.ts';
import { answer, header, receiver } from '../container/files/answer.ts';
import { placesFor, type FilesPlaces } from '../container/files/request-places.ts';
import { MS_NODEV, MS_RDONLY } from '../launch/mount-options.ts';
import { HuskError } from '../errors.ts';
import type { DescriptorStream } from '../host/streams/descriptor-stream.ts';
import { mount, umount } from '../host/kernel/mount.ts';
import { openStream } from './streams.ts';

/** what the machine's disks are mounted as */
export interface Disks {
  /** the image */
  lower: string;
  /** overlay's, on the writable disk */
  upper: string;
  /** the container's / where it has one */
  root: string | undefined;
  /** bytes on the writable disk */
  size: () => number;
}

/** where image and changes are put together for one request, with nothing mounted on them */
const WHOLE_FOLDER = '/run/husk/whole';

export async function serveFiles(
  { request, output, input }: Extract<Request, { type: 'files' }>,
  disks: Disks,
): Promise<void> {
  const stream = openStream(output);
  let gone = false;
  stream.on('error', () => (gone = true)).on('close', () => (gone = true));
  stream.resume(); // the host sends nothing here; its end is read away
  const incoming = input === undefined ? undefined : openStream(input);
  incoming?.on('error', () => {});
  try {
    const send = async (piece: Buffer) => {
      if (gone) throw new HuskError('the host wants no more of it', { kind: 'conflict' });
      if (stream.write(piece)) await turn();
      else await Promise.race([once(stream, 'drain'), once(stream, 'close')]).catch(() => {});
    };
    if (request.op === 'size') await send(header({ size: disks.size() }));
    else if (request.op === 'extract') await extract(request, disks, incoming, send);
    else await read(request, disks, send);
    await new Promise<void>((done) => {
      stream.once('close', done);
      stream.end(done);
    });
  } finally {
    incoming?.destroy();
    // an end that is a failure must not look like one that is not: the reply tells
    if (!stream.writableFinished) stream.destroy();
  }
}

type Send = (piece: Buffer) => Promise<void>;

async function extract(
  request: Extract<Extract<Request, { type: 'files' }>['request'], { op: 'extract' }>,
  disks: Disks,
  incoming: DescriptorStream | undefined,
  send: Send,
): Promise<void> {
  const unpacker = receiver(request, { root: rootOf(disks), devices: true });
  try {
    await send(header({}));
    for await (const chunk of incoming ?? []) unpacker.push(chunk as Buffer);
    unpacker.end();
  } finally {
    unpacker.close();
  }
}

async function read(request: Extract<Request, { type: 'files' }>['request'], disks: Disks, send: Send): Promise<void> {
  const { lower, upper } = disks;
  const needed = placesFor(request);
  const places: FilesPlaces = { lower, upper, form: 'trusted' };
  if (needed.includes('root')) places.root = rootOf(disks);
  if (needed.includes('whole')) {
    mkdirSync(WHOLE_FOLDER, { recursive: true });
    mount('overlay', WHOLE_FOLDER, 'overlay', MS_RDONLY | MS_NODEV, `lowerdir=${upper}:${lower}`);
    places.whole = WHOLE_FOLDER;
  }
  try {
    for (const piece of answer(request, places)) await send(piece);
  } finally {
    if (places.whole) umount(WHOLE_FOLDER);
  }
}

function rootOf({ root }: Disks): string {
  if (root === undefined) throw new HuskError('the container has no root file system now', { kind: 'conflict' });
  return root;
}
