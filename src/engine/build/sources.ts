/**
 * Where the files of COPY, ADD and mounts come from: the build's context, contexts by name, stages and images. Each is
 * opened once, when it is first asked for.
 */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import { copyLayer, type CopyOptions, type PlannedLayer } from '../../images/build/copy.ts';
import { Context, openContext } from '../../images/build/files/context.ts';
import { ContextIndex } from '../../images/build/files/context-index.ts';
import { parseIgnoreFile } from '../../images/build/files/ignore.ts';
import type { SourceTree } from '../../images/build/files/source.ts';
import { LayerFiles, View } from '../../images/build/files/view.ts';
import type { CopyOperation, Origin, WorkdirOperation } from '../../images/build/operations.ts';
import { workdirLayer } from '../../images/build/workdir.ts';
import type { BuildStore, Layer } from '../../images/store/contract.ts';
import type { Paths } from '../../paths.ts';
import type { BuildOptions } from '../build-contract.ts';
import { readIgnoreFile, type DockerfileSource } from './dockerfile-source.ts';
import type { Remotes } from './remotes.ts';

export interface SourcesOptions {
  request: Pick<BuildOptions, 'contexts'> & { context: Exclude<BuildOptions['context'], { kind: 'remote' }> };
  ignore: DockerfileSource['ignore'];
  /** of a context that came as a tar, or from the network */
  contextLayer: Layer | undefined;
  /** takes a tar in, bounded as that of the main context */
  ingest: (input: Readable) => Promise<Layer>;
  /** is told of what is left out */
  note: (text: string) => void;
  epoch: number | undefined;
  unpack: BuildStore['unpack'];
  paths: Paths;
  /** loaded when something comes from the network */
  remotes: () => Promise<Remotes>;
}

export type LayersOf = (origin: Exclude<Origin, { kind: 'context' }>) => Promise<readonly Layer[]>;

/** A tree, and whether its owners are those of the archive that it came in, which the image does not get. */
export interface OpenSource {
  tree: SourceTree;
  isArchive: boolean;
}

export class Sources implements Disposable {
  readonly #options: SourcesOptions;
  readonly #files = new LayerFiles();
  readonly #contexts = new Map<string, Promise<OpenSource>>();
  readonly #cleanup = new DisposableStack();

  constructor(options: SourcesOptions) {
    this.#options = options;
    this.#cleanup.use(this.#files);
  }

  async open(origin: Origin, layersOf: LayersOf): Promise<OpenSource> {
    if (origin.kind !== 'context') return { tree: this.#view(await layersOf(origin)), isArchive: false };
    const name = origin.name ?? '';
    let found = this.#contexts.get(name);
    if (!found) {
      found = origin.name === undefined ? this.#main() : this.#named(name);
      // Whoever asked first may be waiting for something else when it fails.
      found.catch(() => {});
      this.#contexts.set(name, found);
    }
    return await found;
  }

  async #main(): Promise<OpenSource> {
    const { request, ignore, contextLayer, note } = this.#options;
    if (request.context.kind !== 'folder')
      return { tree: this.#view(contextLayer ? [contextLayer] : []), isArchive: true };
    return this.#context(request.context.path, ignore, note);
  }

  async #named(name: string): Promise<OpenSource> {
    const { request, note, remotes, ingest } = this.#options;
    const named = request.contexts[name];
    if (named?.kind === 'tar') return { tree: this.#view([await ingest(named.input)]), isArchive: true };
    if (named?.kind === 'remote') {
      const { layer } = await (await remotes()).context(named);
      return { tree: this.#view([layer]), isArchive: true };
    }
    if (named?.kind !== 'folder') throw new HuskError(`there is no context ${name}`, { kind: 'not-found' });
    return this.#context(named.path, readIgnoreFile(named.path), note);
  }

  #context(folder: string, ignore: DockerfileSource['ignore'], note: (text: string) => void): OpenSource {
    const index = ContextIndex.of(join(this.#options.paths.dataRoot, 'build-contexts'), realpathSync(folder));
    const tree: Context = openContext(join(folder, '.'), {
      note,
      ...(index && { index }),
      ...(ignore && { ignore: parseIgnoreFile(ignore.bytes, ignore.name) }),
    });
    // What a failed build has read need not be read again either.
    if (index) this.#cleanup.defer(() => index.save());
    return { tree: this.#cleanup.use(tree), isArchive: false };
  }

  #view(layers: readonly Layer[]): View {
    return View.of(layers, this.#files);
  }

  /** Plans a copy onto a stack of layers. */
  async copy(
    operation: CopyOperation,
    layers: readonly Layer[],
    { tree, isArchive }: OpenSource,
  ): Promise<PlannedLayer> {
    // Whose files an archive says they are is nobody in the image, as with files of a folder.
    const asked = isArchive ? { ...operation, chown: operation.chown ?? '0:0' } : operation;
    const remotes = await this.#remotes(operation);
    return await copyLayer(asked, this.#view(layers), tree, { ...this.#copyOptions(), ...(remotes && { remotes }) });
  }

  /** Begins to fetch what an ADD names of the network, for a step that comes later. */
  begin(operation: CopyOperation): void {
    // Whoever waits for it hears of a failure.
    this.#remotes(operation).catch(() => {});
  }

  /** Fetches what an ADD names of the network, side by side. */
  async #remotes(operation: CopyOperation): Promise<CopyOptions['remotes']> {
    const remote = operation.sources.filter((source) => source.kind === 'url' || source.kind === 'git');
    if (remote.length === 0) return undefined;
    const remotes = await this.#options.remotes();
    const layers = await Promise.all(remote.map((source) => remotes.source(source, operation)));
    return new Map(remote.map((source, index) => [source, this.#view([layers[index]!])]));
  }

  workdir(operation: WorkdirOperation, layers: readonly Layer[]): PlannedLayer {
    return workdirLayer(operation, this.#view(layers), this.#copyOptions());
  }

  #copyOptions() {
    const { epoch, note, unpack } = this.#options;
    return { note, unpack, ...(epoch !== undefined && { epoch }) };
  }

  [Symbol.dispose](): void {
    this.#cleanup.dispose();
  }
}

/** @returns whether an ignore file leaves a path of the context out, for the lint */
export function ignoring(ignore: DockerfileSource['ignore']): (path: string) => boolean {
  if (!ignore) return () => false;
  const rules = parseIgnoreFile(ignore.bytes, ignore.name);
  return (path) => {
    let said = rules.top;
    let at = '';
    for (const name of path.split('/').filter((each) => each !== '' && each !== '.')) {
      at = at === '' ? name : `${at}/${name}`;
      said = rules.look(at, said);
    }
    return said.isIgnored;
  };
}
