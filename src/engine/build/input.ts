/**
 * What a build is made of: takes its context in, where that is none of the host's folders, and reads the Dockerfile.
 */
import { parseDockerfile, type Dockerfile } from '../../images/build/dockerfile/parse.ts';
import { BuildError } from '../../images/build/operations.ts';
import type { BuildStore, Layer } from '../../images/store/contract.ts';
import type { EngineContext } from '../record/context.ts';
import type { BuildOptions } from '../build-contract.ts';
import { assertNamedContexts, readDockerfile, type DockerfileSource } from './dockerfile-source.ts';
import { BuildFailed } from './failure.ts';
import type { Fetcher } from './fetcher.ts';
import type { Remotes, RemotesOptions } from './remotes.ts';
import { assertAllowed, hostLine } from './run-step.ts';

/** bytes of a Dockerfile that a URL gives; the parser has the same bound */
const MAX_DOCKERFILE = 16 << 20;

export interface Input {
  source: DockerfileSource;
  /** the context, as it is once nothing of it is still to be fetched */
  main: Exclude<BuildOptions['context'], { kind: 'remote' }>;
  /** of a context that came as a tar, or from the network */
  contextLayer: Layer | undefined;
}

/** @throws HuskError for a context or a Dockerfile that is not there */
export async function openInput(
  options: BuildOptions,
  { store, remotes, signal }: { store: BuildStore; remotes: () => Promise<Remotes>; signal: AbortSignal },
): Promise<Input> {
  const { context: asked, dockerfile, contexts } = options;
  assertNamedContexts(contexts);
  if (asked.kind !== 'remote') {
    const contextLayer = asked.kind === 'tar' ? await store.ingest(asked.input, { signal, programs: true }) : undefined;
    return { source: readDockerfile({ context: asked, dockerfile }, contextLayer), main: asked, contextLayer };
  }
  const main = { kind: 'none' } as const;
  const { kind, layer } = await (await remotes()).context(asked);
  if (kind === 'tree')
    return { source: readDockerfile({ context: main, dockerfile }, layer), main, contextLayer: layer };
  const bytes =
    dockerfile && 'bytes' in dockerfile ? dockerfile.bytes : (await remotes()).fileIn(layer, MAX_DOCKERFILE);
  return { source: readDockerfile({ context: main, dockerfile: { bytes } }), main, contextLayer: undefined };
}

/** @returns what fetches from the network: a build that takes nothing from there does not load it */
export function remotesOf(
  context: EngineContext,
  options: BuildOptions,
  {
    note,
    cleanup,
    ...given
  }: Pick<RemotesOptions, 'ssh' | 'store' | 'steps' | 'signal'> & {
    note: (text: string) => void;
    cleanup: AsyncDisposableStack;
  },
): () => Promise<Remotes> {
  const isHost = options.network === 'host';
  const open = async (): Promise<Fetcher> => {
    if (isHost) assertAllowed('network.host', options.allow);
    const { Fetcher } = await import('./fetcher.ts');
    return new Fetcher(context, {
      // A build without a network for its commands still fetches what it names.
      network: isHost ? 'host' : 'default',
      extraHosts: options.extraHosts.map(hostLine),
      maxSize: given.store.unpack.maxSize,
      problem: note,
    });
  };
  let made: Promise<Remotes> | undefined;
  cleanup.defer(async () => (await made)?.[Symbol.asyncDispose]());
  return () =>
    (made ??= import('./remotes.ts').then(
      ({ Remotes }) => new Remotes({ ...given, paths: context.paths, secrets: options.secrets, open }),
    ));
}

/** Parses the Dockerfile, and gives an error of a line its place. */
export async function located<T>(source: DockerfileSource, work: (dockerfile: Dockerfile) => Promise<T>): Promise<T> {
  try {
    return await work(parseDockerfile(source.bytes));
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    const lines = Buffer.from(source.bytes)
      .toString('utf8')
      .replace(/^\ufeff/, '')
      .split('\n');
    throw new BuildFailed(error.message, {
      kind: error.kind,
      cause: error,
      ...(error.fix !== undefined && { fix: error.fix }),
      ...(error.range && { place: { file: source.name, lines, range: error.range } }),
    });
  }
}
