/**
 * Files and repositories from the network, each as one layer: a URL's file alone in it, or a repository's files. So
 * they are read like any stage's, the cache has them, and nothing that a server sends is ever a file of the host's.
 *
 * A file is known by its URL and its digest, or its URL and the checksum that is asked for; a repository's files by
 * the repository and the commit.
 */
import { createHash, type Hash } from 'node:crypto';
import { HuskError } from '../../errors.ts';
import { View } from '../../images/build/files/view.ts';
import type { CopyOperation, CopySource } from '../../images/build/operations.ts';
import { isCommit, parseGitUrl, redacted, type GitSource } from '../../images/build/remote/git-url.ts';
import { fileNameOf, parseHttpUrl, parseLastModified } from '../../images/build/remote/http-url.ts';
import { sniff } from '../../images/layers/decompress.ts';
import type { BuildStore, Layer } from '../../images/store/contract.ts';
import type { Paths } from '../../paths.ts';
import { findProgram } from '../../rootless/programs.ts';
import { fromText } from '../../tar/byte-string.ts';
import { BLOCK } from '../../tar/entry.ts';
import { paddingOf, TAR_END, tarHeader } from '../../tar/write.ts';
import { VERSION } from '../../version.ts';
import type { BuildSecret, RemoteContext } from '../build-contract.ts';
import type { Fetch, Fetcher } from './fetcher.ts';
import { gitAuth } from './remote/git-auth.ts';
import { keepEtag, knownEtags } from './remote/known-etags.ts';
import { NamelessFile } from './remote/nameless-file.ts';
import { Slots } from './slots.ts';
import { sshAccess } from './ssh/access.ts';
import type { Step, Steps } from './steps.ts';

/** the version of what the keys mean */
const FORMAT = 1;
/** fetches at a time */
const MOST_AT_ONCE = 4;
/** mode of a file that a URL gives, and of the root of its layer */
const FILE_MODE = 0o600;
const ROOT_MODE = 0o755;
const USER_AGENT = `husk/${VERSION}`;
/** bytes that show whether a file is an archive: the magic of ustar ends at 262 */
const START = BLOCK;
/** where git is looked for: what the sandbox shows */
const PROGRAM_PATH = '/usr/local/bin:/usr/bin:/bin';

export interface RemotesOptions {
  store: BuildStore;
  paths: Pick<Paths, 'dataRoot' | 'tmp'>;
  steps: Steps;
  signal: AbortSignal;
  /** sockets of agents by id, as `--ssh` has them */
  ssh: Readonly<Record<string, string>>;
  secrets: readonly BuildSecret[];
  /** called at the first fetch @throws HuskError where the network that is asked for is not allowed */
  open: () => Promise<Fetcher>;
}

/** What a context is: files, or one that is no archive. */
interface FetchedContext {
  kind: 'tree' | 'file';
  layer: Layer;
}

export class Remotes implements AsyncDisposable {
  readonly #options: RemotesOptions;
  readonly #found = new Map<string, Promise<Layer>>();
  readonly #slots = new Slots(MOST_AT_ONCE);
  #fetcher: Promise<Fetcher> | undefined;

  constructor(options: RemotesOptions) {
    this.#options = options;
  }

  /** @returns the layer of a source of ADD @throws HuskError in BuildKit's words where it has some */
  async source({ kind, url }: Extract<CopySource, { url: string }>, operation: CopyOperation): Promise<Layer> {
    const { checksum, keepGitDir } = operation;
    if (kind === 'url') return await cacheKeyErrors(() => this.#file(url, checksum));
    return await cacheKeyErrors(() => this.#repository(url, { checksum, keepGitDir }));
  }

  /** @returns a context: a repository, an archive, or a file that is neither */
  async context({ url: text, isGit }: RemoteContext): Promise<FetchedContext> {
    if (isGit) return { kind: 'tree', layer: await cacheKeyErrors(() => this.#repository(text, { isCallers: true })) };
    try {
      const layer = await cacheKeyErrors(() => this.#file(text, undefined));
      const archive = await this.#archiveIn(layer);
      return archive ? { kind: 'tree', layer: archive } : { kind: 'file', layer };
    } catch (error) {
      throw error instanceof HuskError ? prefixed('failed to read downloaded context: ', error) : error;
    }
  }

  /** @returns the file of a URL's layer */
  fileIn(layer: Layer, limit: number): Buffer {
    using view = View.of([layer]);
    const [name = ''] = view.names(view.root);
    const node = view.child(view.root, name);
    if (node?.type !== 'file') throw new HuskError('the layer of a URL has no file', { kind: 'corrupt' });
    if (node.size > limit)
      throw new HuskError(`the Dockerfile of the URL is larger than ${limit} bytes`, { kind: 'limit' });
    return Buffer.concat([...view.contents(node).pieces()].map((piece) => Buffer.from(piece)));
  }

  /** Unpacks a file that is an archive. */
  async #archiveIn(layer: Layer): Promise<Layer | undefined> {
    const { store, signal } = this.#options;
    using view = View.of([layer]);
    const [name = ''] = view.names(view.root);
    const contents = view.contents(view.child(view.root, name)!);
    const start = startOf(contents.pieces());
    if (sniff(start) === 'none' && start.toString('latin1', 257, 262) !== 'ustar') return undefined;
    const pieces = async function* (): AsyncGenerator<Buffer> {
      for (const piece of contents.pieces()) yield Buffer.from(piece);
    };
    return await store.ingest(pieces(), { signal, programs: true });
  }

  #once(key: string, fetch: () => Promise<Layer>): Promise<Layer> {
    let found = this.#found.get(key);
    if (!found) {
      found = fetch();
      found.catch(() => {});
      this.#found.set(key, found);
    }
    return found;
  }

  #file(text: string, checksum: string | undefined): Promise<Layer> {
    const url = parseHttpUrl(text);
    return this.#once(`url ${checksum ?? ''} ${url.href}`, () =>
      this.#step(url.href, (step) => this.#fetchFile(url, checksum, step)),
    );
  }

  async #fetchFile(url: URL, checksum: string | undefined, step: Step): Promise<Outcome> {
    const { store, paths, signal } = this.#options;
    const known = checksum === undefined ? undefined : store.find(keyOf('url', url.href, checksum));
    if (known) return { layer: known, isCached: true };
    const etags = knownEtags(paths, url.href).filter(({ key }) => store.find(key) !== undefined);
    await using fetch = await this.#start({
      kind: 'http',
      url: url.href,
      // A file with a checksum is looked at again, whatever the server says.
      etags: checksum === undefined ? etags.map(({ etag }) => etag) : [],
      maxSize: store.unpack.maxSize,
      userAgent: USER_AGENT,
    });
    const answer = await fetch.said();
    if (answer?.type !== 'answer') throw new HuskError('the program that fetches gave no answer', { kind: 'corrupt' });
    if (answer.unchanged) {
      const same = etags.find(({ etag }) => etag === answer.etag);
      const layer = same && store.find(same.key);
      if (!layer)
        throw new HuskError('the server says that nothing has changed of what is not here', { kind: 'corrupt' });
      return { layer, isCached: true };
    }
    using file = new NamelessFile(paths);
    const { size, sha256, found } = await this.#receive(fetch, file, { checksum, total: answer.size, step });
    if (checksum !== undefined && found !== checksum)
      throw new HuskError(`digest mismatch ${found}: ${checksum}`, { kind: 'invalid' });
    const member = {
      type: 'file' as const,
      path: fromText(fileNameOf(url)),
      mode: FILE_MODE,
      size,
      mtime: parseLastModified(answer.lastModified) ?? 0,
    };
    const tar = async function* (): AsyncGenerator<Buffer> {
      // With the root in front, no name can make the tar look like something compressed.
      yield tarHeader({ type: 'directory', path: './', mode: ROOT_MODE });
      yield tarHeader(member);
      yield* file.pieces(size);
      yield Buffer.concat([paddingOf(size), TAR_END]);
    };
    const layer = await store.ingest(tar(), { signal });
    const key = keyOf('url', url.href, sha256);
    this.#keep(key, layer, url.href);
    if (checksum !== undefined && checksum !== sha256) this.#keep(keyOf('url', url.href, checksum), layer, url.href);
    if (answer.etag !== undefined) keepEtag(paths, url.href, { etag: answer.etag, key });
    return { layer, isCached: false };
  }

  async #receive(
    fetch: Fetch,
    file: NamelessFile,
    { checksum, total, step }: { checksum: string | undefined; total: number | undefined; step: Step },
  ): Promise<{ size: number; sha256: string; found: string }> {
    const { maxSize } = this.#options.store.unpack;
    const hashes = new Map<string, Hash>();
    const algorithm = checksum === undefined ? 'sha256' : checksum.slice(0, checksum.indexOf(':'));
    for (const each of new Set(['sha256', algorithm])) hashes.set(each, createHash(each));
    let size = 0;
    for await (const bytes of fetch.data((text) => step.message(text))) {
      size += bytes.length;
      // The program that fetches has this bound too; it is not believed.
      if (size > maxSize) throw new HuskError(`the file is larger than ${maxSize} bytes`, { kind: 'limit' });
      for (const hash of hashes.values()) hash.update(bytes);
      file.write(bytes);
      step.transfer('file', 'downloading', size, total);
    }
    const digests = new Map([...hashes].map(([name, hash]) => [name, `${name}:${hash.digest('hex')}`]));
    return { size, sha256: digests.get('sha256')!, found: digests.get(algorithm)! };
  }

  #repository(
    text: string,
    asked: { checksum?: string | undefined; keepGitDir?: boolean | undefined; isCallers?: boolean },
  ): Promise<Layer> {
    const source = parseGitUrl(text);
    if (asked.checksum !== undefined && source.checksum !== undefined && asked.checksum !== source.checksum)
      throw new HuskError(`checksum conflicts: ${asked.checksum} and ${source.checksum}`, { kind: 'invalid' });
    const wanted = {
      ...source,
      checksum: asked.checksum ?? source.checksum,
      keepGitDir: asked.keepGitDir ?? source.keepGitDir ?? false,
      isCallers: asked.isCallers ?? false,
    };
    return this.#once(`git ${JSON.stringify(wanted)}`, () =>
      this.#step(text, (step) => this.#fetchRepository(wanted, step)),
    );
  }

  async #fetchRepository(
    source: GitSource & { keepGitDir: boolean; isCallers: boolean },
    step: Step,
  ): Promise<Outcome> {
    const { store, signal, ssh, secrets } = this.#options;
    const { repository, transport, ref, subdir, checksum, keepGitDir, submodules } = source;
    const auth = gitAuth(repository, secrets, source.isCallers);
    const find = (commit: string): { key: string; layer: Layer | undefined } => {
      if (checksum !== undefined && !commit.startsWith(checksum))
        throw new HuskError(`expected checksum to match ${checksum}, got ${commit}`, { kind: 'invalid' });
      // The repository counts too: nobody else's server may name a commit that only its owner gives out.
      const key = keyOf('git', repository, commit, subdir, submodules, keepGitDir);
      return { key, layer: store.find(key) };
    };
    if (ref !== undefined && isCommit(ref)) {
      const { layer } = find(ref);
      if (layer) return { layer, isCached: true };
    }
    if (findProgram('git', PROGRAM_PATH) === undefined)
      throw new HuskError(`cannot fetch ${redacted(repository)}: git is not installed`, {
        kind: 'unsupported',
        fix: 'apt install git',
      });
    await using fetch = await this.#start(
      {
        kind: 'git',
        repository,
        transport,
        subdir,
        keepGitDir,
        submodules,
        maxSize: store.unpack.maxSize,
        userAgent: USER_AGENT,
        ...(ref !== undefined && { ref }),
        ...(auth && { auth }),
      },
      // A submodule may want it where the repository does not.
      transport === 'ssh' || ssh['default'] !== undefined ? sshAccess(ssh, repository, transport === 'ssh') : undefined,
    );
    const answer = await fetch.said();
    if (answer?.type !== 'commit') throw new HuskError('the program that fetches named no commit', { kind: 'corrupt' });
    step.message(answer.commit);
    const { key, layer: known } = find(answer.commit);
    if (known) return { layer: known, isCached: true };
    fetch.go();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      // With the root in front, no name can make the tar look like something compressed.
      yield tarHeader({ type: 'directory', path: './', mode: ROOT_MODE });
      yield* fetch.data((text) => step.message(text));
    };
    const layer = await store.ingest(pieces(), { signal });
    this.#keep(key, layer, repository);
    return { layer, isCached: false };
  }

  #keep(key: string, { diffId, size }: Layer, url: string): void {
    this.#options.store.keep({ key, diffId, size, step: redacted(url), made: Date.now() });
  }

  async #start(job: Parameters<Fetcher['start']>[0], ssh?: ReturnType<typeof sshAccess>): Promise<Fetch> {
    const { signal, open } = this.#options;
    const fetcher = await (this.#fetcher ??= open());
    return await fetcher.start(job, { signal, ...(ssh && { ssh }) });
  }

  /** A fetch is a step of its own in progress. */
  async #step(url: string, fetch: (step: Step) => Promise<Outcome>): Promise<Layer> {
    const { steps, signal } = this.#options;
    using _slot = await this.#slots.take(signal);
    const step = steps.start(redacted(url));
    try {
      const { layer, isCached } = await fetch(step);
      step.end(isCached ? 'cached' : 'done');
      return layer;
    } catch (error) {
      if (signal.aborted) step.end('canceled');
      else step.end('error', error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#found.values());
    await (await this.#fetcher?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }
}

interface Outcome {
  layer: Layer;
  isCached: boolean;
}

const keyOf = (...parts: readonly (string | boolean)[]): string =>
  createHash('sha256')
    .update(JSON.stringify(['remote', FORMAT, ...parts]))
    .digest('hex');

/** What a server says comes in the words of BuildKit, whose cache key it is for. */
async function cacheKeyErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof HuskError && error.kind !== 'unsupported' && error.kind !== 'internal'
      ? prefixed('failed to load cache key: ', error)
      : error;
  }
}

const prefixed = (text: string, error: HuskError): HuskError =>
  new HuskError(`${text}${error.message}`, { kind: error.kind, fix: error.fix, cause: error });

function startOf(pieces: Iterable<Uint8Array>): Buffer {
  let start = Buffer.alloc(0);
  for (const piece of pieces) {
    start = Buffer.concat([start, piece.subarray(0, START)]);
    if (start.length >= START) break;
  }
  return start;
}
