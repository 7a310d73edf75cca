/** Where the result of a build goes: into the store, or back to the client, as files in its folder or as one tar. */
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { HuskError } from '../../errors.ts';
import type { BuildOptions, BuildOutput } from '../../engine/build-contract.ts';
import type { ClientCall } from './client.ts';
import { DATA, FAILED, FINISHED, GO_DIR, GO_SYMLINK, REQUEST, statPacket } from './file-sync.ts';
import type { Typed } from './messages.ts';
import { bytesMessage, type Session } from './session.ts';
import { bytes, Fields, message, number, text } from './wire.ts';

const SEND = '/moby.filesync.v1.FileSend/DiffCopy';
/** which of the client's exporters is meant, for clients that have several */
const EXPORTER = 'buildkit-attachable-exporter-id';
/** bytes of one packet, fsutil's own size */
const PACKET = 32 << 10;
const ANNOTATION = /^annotation(?:-manifest)?(?:\[[^\]]*\])?\.(.+)$/;

export interface Exports extends Disposable {
  options: Pick<BuildOptions, 'tags' | 'outputs' | 'annotations'>;
  /** @returns a step's name as clients are to see it: a folder of husk's own is none of theirs */
  titleOf(name: string): string;
  /** sends what is to go back in files, once the build is done */
  finish(): Promise<void>;
}

/** @throws HuskError `unsupported` for an exporter that husk does not have */
export function exportsOf(exporters: readonly Typed[], session: Session, signal: AbortSignal): Exports {
  const stack = new DisposableStack();
  const folders: string[] = [];
  const later: (() => Promise<void>)[] = [];
  const outputs = exporters.map((exporter, index): BuildOutput => {
    const call = (): ClientCall => session.call(SEND, signal, { [EXPORTER]: String(index) });
    if (exporter.type !== 'local') return outputOf(exporter, call);
    const folder = stack.adopt(mkdtempSync(join(tmpdir(), 'husk-export-')), (made) =>
      rmSync(made, { recursive: true, force: true }),
    );
    folders.push(folder);
    later.push(() => sendFolder(folder, call()));
    return { type: 'local', folder };
  });
  return {
    options: {
      tags: [],
      outputs: outputs.length === 0 ? [{ type: 'cacheonly' }] : outputs,
      annotations: Object.fromEntries(exporters.flatMap(annotationsOf)),
    },
    titleOf: (name) => folders.reduce((title, folder) => title.replace(folder, () => 'client directory'), name),
    finish: async () => {
      for (const send of later) await send();
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

/** @param call opens the stream that a tar goes through */
function outputOf({ type, attributes }: Typed, call: () => ClientCall): BuildOutput {
  const name = attributes.get('name');
  if (type === 'moby' || type === 'image')
    return { type: 'image', ...(name && { name }), push: attributes.get('push') === 'true' };
  if (type === 'tar' || type === 'oci' || type === 'docker')
    return { type, name: 'client tarball', open: (write) => sendStream(write, call()) };
  if (type === 'cacheonly') return { type };
  throw new HuskError(`exporter ${JSON.stringify(type.slice(0, 100))} could not be found`, { kind: 'unsupported' });
}

const annotationsOf = ({ attributes }: Typed): [string, string][] =>
  [...attributes].flatMap(([key, value]) => {
    const name = ANNOTATION.exec(key)?.[1];
    return name === undefined ? [] : [[name, value]];
  });

/** One tar, in messages of bytes; the client writes it where it wants. */
async function sendStream(write: (output: NodeJS.WritableStream) => Promise<void>, call: ClientCall): Promise<void> {
  const output = new PassThrough({ highWaterMark: PACKET });
  const pumped = (async () => {
    for await (const chunk of output as AsyncIterable<Buffer>)
      for (let at = 0; at < chunk.length; at += PACKET) await call.send(bytesMessage(chunk.subarray(at, at + PACKET)));
  })();
  // Whoever writes hears of it.
  pumped.catch(() => {});
  const answered = drain(call);
  answered.catch((error: unknown) => output.destroy(error as Error));
  try {
    await write(output);
    output.end();
    await pumped;
  } catch (error) {
    output.destroy();
    call.cancel();
    await pumped.catch(() => {});
    throw error;
  }
  call.end();
  await answered;
}

async function drain(call: ClientCall): Promise<void> {
  for await (const _ of call.messages);
}

interface Sent {
  path: string;
  stat: Buffer;
  isFile: boolean;
}

/** Names of a folder of husk's own, each behind its folder, in the order of their bytes, as fsutil wants them. */
function* walk(folder: string, below = ''): Generator<Sent> {
  const names = readdirSync(join(folder, below), { encoding: 'buffer' }).sort(Buffer.compare);
  for (const raw of names) {
    const name = raw.toString('utf8');
    const path = below === '' ? name : `${below}/${name}`;
    const stat = lstatSync(join(folder, path), { throwIfNoEntry: false, bigint: true });
    // A name that is no UTF-8 has no form in this protocol.
    if (!stat)
      throw new HuskError(`cannot send ${JSON.stringify(path)}: its name is no UTF-8`, { kind: 'unsupported' });
    const [isFolder, isLink] = [stat.isDirectory(), stat.isSymbolicLink()];
    const mode = (Number(stat.mode) % 0o1000) + (isFolder ? GO_DIR : 0) + (isLink ? GO_SYMLINK : 0);
    yield {
      path,
      isFile: stat.isFile(),
      stat: message(
        text(1, path),
        number(2, mode),
        number(5, stat.isFile() ? stat.size : 0),
        number(6, stat.mtimeNs),
        text(7, isLink ? readlinkSync(join(folder, path)) : ''),
      ),
    };
    if (isFolder) yield* walk(folder, path);
  }
}

/** The client asks for the contents that it wants while the names are still told. */
async function sendFolder(folder: string, call: ClientCall): Promise<void> {
  const files: (string | undefined)[] = [];
  const tell = async (): Promise<void> => {
    for (const { path, stat, isFile } of walk(folder)) {
      files.push(isFile ? path : undefined);
      await call.send(statPacket(stat));
    }
    await call.send(statPacket());
  };
  const telling = tell();
  telling.catch(() => call.cancel());
  let isFinished = false;
  for await (const each of call.messages) {
    const packet = new Fields(each);
    const type = packet.unsigned(1);
    if (type === FAILED)
      throw new HuskError(`the client cannot write its files: ${packet.text(4).slice(0, 1000)}`, { kind: 'invalid' });
    if (type === REQUEST) {
      const id = packet.unsigned(3);
      const path = files[id];
      if (path === undefined)
        throw new HuskError(`the client asks for file ${id}, which there is not`, { kind: 'invalid' });
      files[id] = undefined;
      await sendFile(join(folder, path), id, call);
    } else if (type === FINISHED) {
      isFinished = true;
      await call.send(message(number(1, FINISHED)));
      call.end();
    }
  }
  await telling;
  if (!isFinished) throw new HuskError('the client has ended the transfer of its files', { kind: 'unavailable' });
}

async function sendFile(path: string, id: number, call: ClientCall): Promise<void> {
  const packet = (data?: Buffer): Buffer => message(number(1, DATA), number(3, id), bytes(4, data));
  await using file = await open(path);
  for (;;) {
    const { bytesRead, buffer } = await file.read({ buffer: Buffer.allocUnsafe(PACKET) });
    if (bytesRead === 0) break;
    await call.send(packet(buffer.subarray(0, bytesRead)));
  }
  await call.send(packet());
}
