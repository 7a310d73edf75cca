/**
 * Folders of the client that a build reads: a few files of one, or one as a tar that comes when the engine reads it.
 * Each transfer is a step that the client shows.
 */
import { Readable } from 'node:stream';
import type { NamedContext } from '../../engine/build-contract.ts';
import { syncedFiles, syncedTar, type SyncStream } from './file-sync.ts';
import { grpcError } from './grpc.ts';
import { ignorePatterns } from './needs.ts';
import type { Session } from './session.ts';
import type { BuildStatus } from './status.ts';

const SYNC = '/moby.filesync.v1.FileSync/DiffCopy';
/** bytes of a Dockerfile with its ignore files; the parser has the same bound */
const MAX_DOCKERFILE = 17 << 20;
/** bytes between two lines of progress of a transfer */
const PROGRESS_STEP = 1 << 20;
/** name of the ignore file of a folder */
export const IGNORE_FILE = '.dockerignore';

interface FolderTransfer {
  /** the client's name of the folder */
  folder: string;
  /** of the step that the client shows */
  title: string;
  /** what is transferred, as progress names it: `context` */
  unit: string;
}

export class ClientFolders {
  readonly #session: Session;
  readonly #status: BuildStatus;
  readonly #signal: AbortSignal;

  constructor(session: Session, status: BuildStatus, signal: AbortSignal) {
    this.#session = session;
    this.#status = status;
    this.#signal = signal;
  }

  /** @returns those of a few files that are there */
  async files({
    folder,
    names,
    title,
    unit,
  }: FolderTransfer & { names: readonly string[] }): Promise<Map<string, Buffer>> {
    const step = this.#status.own(title);
    try {
      const files = await syncedFiles(this.#sync({ 'dir-name': folder, followpaths: [...names] }), MAX_DOCKERFILE);
      const size = [...files.values()].reduce((sum, { length }) => sum + length, 0);
      step.status(`transferring ${unit}:`, size, true);
      step.end();
      return files;
    } catch (error) {
      step.end(grpcError(error).message);
      throw error;
    }
  }

  /**
   * A folder as a tar. Nothing is asked of the client before the tar is read.
   * @param transfer.paths names and patterns; undefined: all
   * @param transfer.ignore gives the folder's ignore file
   */
  tar({
    paths,
    ignore,
    ...transfer
  }: FolderTransfer & {
    paths: readonly string[] | undefined;
    ignore: () => Promise<Buffer | undefined>;
  }): Readable {
    return Readable.from(this.#pieces(transfer, paths, ignore), { objectMode: false });
  }

  async *#pieces(
    { folder, title, unit }: FolderTransfer,
    paths: readonly string[] | undefined,
    ignore: () => Promise<Buffer | undefined>,
  ): AsyncGenerator<Buffer> {
    const file = await ignore();
    const stream = this.#sync({
      'dir-name': folder,
      ...(paths && { followpaths: [...paths] }),
      ...(file && { 'exclude-patterns': ignorePatterns(file) }),
    });
    const step = this.#status.own(title);
    let shown = 0;
    let total = 0;
    try {
      const onBytes = (bytes: number): void => {
        total = bytes;
        if (bytes - shown < PROGRESS_STEP) return;
        shown = bytes;
        step.status(`transferring ${unit}:`, bytes);
      };
      yield* syncedTar(stream, { onBytes });
      step.status(`transferring ${unit}:`, total, true);
      step.end();
    } catch (error) {
      step.end(grpcError(error).message);
      throw error;
    }
  }

  /**
   * A folder as a context by name, with its own ignore file.
   * @param name of the context, as the Dockerfile has it
   * @param paths as of `tar`
   */
  named(name: string, folder: string, paths: readonly string[] | undefined): NamedContext {
    const title = `[context ${name.slice(0, 100)}] load`;
    const ignore = async (): Promise<Buffer | undefined> => {
      const files = await this.files({ folder, names: [IGNORE_FILE], title: `${title} ${IGNORE_FILE}`, unit: folder });
      return files.get(IGNORE_FILE);
    };
    return {
      kind: 'tar',
      input: this.tar({ folder, title: `${title} from client`, unit: folder, paths, ignore }),
    };
  }

  /** Values of headers are ASCII: others are escaped, as a second header says. */
  #sync(metadata: Record<string, string | string[]>): SyncStream {
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(metadata)) {
      const isPlain = [value].flat().every((each) => /^[\x20-\x7e]*$/.test(each));
      headers[name] = isPlain ? value : [value].flat().map((each) => encodeURIComponent(each));
      if (!isPlain) headers[`${name}-encoded`] = '1';
    }
    const call = this.#session.call(SYNC, this.#signal, headers);
    return { send: (message) => call.send(message), end: () => call.end(), messages: call.messages };
  }
}
