/**
 * One build that a client asked for by BuildKit's protocol. Its parts come in calls of their own: what is wanted
 * (Control/Solve), who looks on (Control/Status), and the Dockerfile's build itself (LLBBridge/Solve), which husk's own
 * builder does.
 */
import { Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import type { BuildOptions, BuildResult } from '../../engine/build-contract.ts';
import { BuildFailed } from '../../engine/build/failure.ts';
import type { Engine } from '../../engine/contract.ts';
import { parseDockerfile } from '../../images/build/dockerfile/parse.ts';
import { imageKey } from '../../images/build/plan/graph.ts';
import { clientBlobs } from './client-blobs.ts';
import { ClientFolders, IGNORE_FILE } from './client-folders.ts';
import { exportsOf } from './exports.ts';
import { cacheSources, cacheTargets, frontendRequest, type FrontendRequest } from './frontend.ts';
import { GrpcError, grpcError, UNKNOWN } from './grpc.ts';
import type { SolveRequest, Typed } from './messages.ts';
import { needsOf, type Needs } from './needs.ts';
import { bytesOf, type Session } from './session.ts';
import { failureDetails } from './failure-details.ts';
import { forwardAgents } from './ssh-forward.ts';
import { BuildStatus } from './status.ts';

const UPLOAD = '/moby.upload.v1.Upload/Pull';

const NO_NEEDS: Needs = { secrets: [], agents: [], paths: undefined, named: new Map(), bases: [] };

/** What the Dockerfile's frontend is asked for. */
export interface FrontendCall {
  frontend: string;
  attributes: ReadonlyMap<string, string>;
  cacheImports: readonly Typed[];
}

export class BuildJob {
  readonly ref: string;
  readonly status: BuildStatus;
  /** somebody has asked for its progress */
  isShown = false;
  readonly #engine: Engine;
  readonly #ending = new AbortController();
  readonly #solving = Promise.withResolvers<SolveRequest>();
  readonly #returned = Promise.withResolvers<void>();
  #session: Promise<Session> | undefined;
  #made: BuildResult | undefined;
  #failed: GrpcError | undefined;

  constructor(ref: string, engine: Engine) {
    this.ref = ref;
    this.#engine = engine;
    this.status = new BuildStatus(ref);
    for (const { promise } of [this.#solving, this.#returned]) promise.catch(() => {});
  }

  /** aborted when the build is over, or its client is gone */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  begin(request: SolveRequest, session: Promise<Session>): void {
    this.#session = session;
    session.catch(() => {});
    this.#solving.resolve(request);
  }

  /** @returns what the exporters have made, once the client's side of the build has ended */
  async result(): Promise<Map<string, string>> {
    await this.#returned.promise;
    if (this.#failed) throw this.#failed;
    const { id, names = [] } = this.#made ?? {};
    const response: [string, string | undefined][] = [
      // as the engine's own exporter says it: compose compares it with the Id of an inspect, and recreates by it
      ['containerimage.digest', id],
      ['containerimage.config.digest', id],
      ['image.name', names.join(',') || undefined],
    ];
    return new Map(response.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])));
  }

  /** The client's side has ended. @param error of its own */
  returned(error?: GrpcError): void {
    this.#failed ??= error;
    this.#returned.resolve();
  }

  /** Ends all that runs. */
  end(reason: Error): void {
    this.#returned.reject(reason);
    this.#solving.reject(reason);
    this.#ending.abort(reason);
    this.status.end();
  }

  /**
   * Builds the Dockerfile.
   * @throws GrpcError, with the place in the Dockerfile
   */
  async build(call: FrontendCall, signal: AbortSignal): Promise<void> {
    try {
      if (call.frontend !== 'dockerfile.v0')
        throw new HuskError(
          call.frontend === ''
            ? 'husk builds Dockerfiles: it does not run graphs of operations (LLB) of other frontends'
            : `cannot use the frontend ${call.frontend.slice(0, 200)}: only Docker's own is built in`,
          { kind: 'unsupported' },
        );
      if (this.#made) throw new HuskError('a build makes one result', { kind: 'unsupported' });
      this.#made = await this.#build(call, AbortSignal.any([signal, this.#ending.signal]));
    } catch (error) {
      this.#failed = wordedFailure(error);
      throw this.#failed;
    }
  }

  async #build({ attributes, cacheImports }: FrontendCall, signal: AbortSignal): Promise<BuildResult> {
    const request = await this.#solving.promise;
    const session = await this.#session!;
    const frontend = frontendRequest(attributes, request.entitlements);
    const caches = cacheSources([...request.cacheImports, ...cacheImports]);
    for (const text of [...frontend.warnings, ...caches.warnings]) this.status.event({ type: 'warning', at: 0, text });
    using exports = exportsOf(request.exporters, session, signal);
    await using cleanup = new AsyncDisposableStack();
    const source = await this.#source(session, frontend, signal);
    const agents: string[] = [];
    for (const id of source.needs.agents) if (await session.hasAgent(id, signal)) agents.push(id);
    const ssh = cleanup.use(await forwardAgents(session, agents, signal));
    const options: BuildOptions = {
      ...frontend.options,
      ...exports.options,
      context: source.context,
      contexts: { ...frontend.options.contexts, ...source.contexts, ...layoutsOf(session, frontend, signal) },
      dockerfile: source.dockerfile,
      secrets: await secretsOf(session, source.needs, signal),
      ssh: ssh.sockets,
      cacheFrom: caches.sources,
      cacheTo: cacheTargets(request.cacheExports),
      credentials: (host) => session.credentials(host, signal),
    };
    const bytes = 'bytes' in source.dockerfile ? source.dockerfile.bytes : undefined;
    this.status.begin(bytes && { name: frontend.filename, bytes });
    const made = await this.#engine.build(options, {
      signal,
      onEvent: (event) => {
        this.status.event(event.type === 'start' ? { ...event, name: exports.titleOf(event.name) } : event);
      },
    });
    for (const warning of made.warnings) this.status.event({ type: 'warning', at: 0, text: warning.message, warning });
    await exports.finish();
    return made;
  }

  /** @returns where the Dockerfile and the contexts come from, and what the file wants of the client */
  async #source(session: Session, frontend: FrontendRequest, signal: AbortSignal): Promise<Source> {
    const { remote, upload, filename } = frontend;
    const folders = new ClientFolders(session, this.status, signal);
    if (remote === undefined && upload === undefined) return await this.#ofFolders(folders, frontend);
    const elsewhere = { contexts: this.#contexts(folders, frontend, NO_NEEDS), needs: NO_NEEDS };
    if (remote !== undefined) return { context: remote, dockerfile: { path: filename }, ...elsewhere };
    const call = session.call(UPLOAD, signal, { urlpath: upload!, urlhost: 'buildkit-session' });
    // Nothing goes there, and a side that stays open is a stream that the client has to reset.
    call.end();
    const input = Readable.from(bytesOf(call.messages), { objectMode: false });
    return { context: { kind: 'tar', input }, dockerfile: { path: filename }, ...elsewhere };
  }

  async #ofFolders(folders: ClientFolders, frontend: FrontendRequest): Promise<Source> {
    const { filename, dockerfileName, contextName } = frontend;
    const names = [filename, `${filename}.dockerignore`, filename.toLowerCase()];
    const files = await folders.files({
      folder: dockerfileName,
      names,
      title: `[internal] load build definition from ${filename}`,
      unit: 'dockerfile',
    });
    const bytes = files.get(filename) ?? files.get(filename.toLowerCase());
    if (!bytes)
      throw new HuskError(`failed to read dockerfile: open ${filename}: no such file or directory`, {
        kind: 'not-found',
      });
    const needs = neededBy(bytes, frontend.options.target);
    const main = { folder: contextName, unit: 'context' };
    let ignore = files.get(`${filename}.dockerignore`);
    if (!ignore) {
      const found = await folders.files({ ...main, names: [IGNORE_FILE], title: `[internal] load ${IGNORE_FILE}` });
      ignore = found.get(IGNORE_FILE);
    }
    const paths = this.#hasTriggers(needs, frontend) ? undefined : needs.paths;
    const tar = () =>
      folders.tar({ ...main, title: '[internal] load build context', paths, ignore: async () => ignore });
    return {
      context: paths?.length === 0 ? { kind: 'none' } : { kind: 'tar', input: tar() },
      contexts: this.#contexts(folders, frontend, needs),
      dockerfile: { bytes, name: filename },
      needs,
    };
  }

  /** The client's folders by name, each to be read at most once. */
  #contexts(folders: ClientFolders, frontend: FrontendRequest, needs: Needs): BuildOptions['contexts'] {
    const isAll = this.#hasTriggers(needs, frontend);
    return Object.fromEntries(
      Object.entries(frontend.folders).map(([name, folder]) => {
        const paths = isAll ? undefined : needs.named.get(imageKey(name));
        return [name, folders.named(name, folder, paths)];
      }),
    );
  }

  /**
   * Triggers of a base read contexts too; what a base that is not here has, nobody knows yet. The files of a folder
   * have none.
   */
  #hasTriggers({ bases }: Needs, { folders }: FrontendRequest): boolean {
    const names = new Set(Object.keys(folders).map(imageKey));
    return bases.some((base) => {
      if (names.has(imageKey(base))) return false;
      const image = base.includes('$') ? undefined : this.#engine.images.find(base);
      return !image || (image.config.config?.OnBuild ?? []).length > 0;
    });
  }
}

interface Source {
  context: BuildOptions['context'];
  /** folders of the client by name */
  contexts: BuildOptions['contexts'];
  dockerfile: NonNullable<BuildOptions['dockerfile']>;
  needs: Needs;
}

/** What cannot be parsed needs nothing: the build says what is wrong with it. */
function neededBy(bytes: Uint8Array, target: string | undefined): Needs {
  try {
    return needsOf(parseDockerfile(bytes), target);
  } catch {
    return { ...NO_NEEDS, paths: [] };
  }
}

/** Read when the build first needs them: a layer that is here already is not asked for. */
const layoutsOf = (session: Session, { layouts }: FrontendRequest, signal: AbortSignal): BuildOptions['contexts'] =>
  Object.fromEntries(
    Object.entries(layouts).map(([name, { id, digest }]) => [
      name,
      { kind: 'layout', folder: name, digest, blobs: clientBlobs(session, `oci:${id}`, signal) },
    ]),
  );

async function secretsOf(session: Session, { secrets }: Needs, signal: AbortSignal): Promise<BuildOptions['secrets']> {
  const found: BuildOptions['secrets'] = [];
  for (const id of secrets) {
    const value = await session.secret(id, signal);
    if (value) found.push({ id, value });
  }
  return found;
}

/** @returns the error as clients show it, with the place in the Dockerfile where there is one */
function wordedFailure(error: unknown): GrpcError {
  const { message } = grpcError(error);
  // Clients write any other code than this before the message.
  const code = UNKNOWN;
  const place = error instanceof BuildFailed ? error.place : undefined;
  if (!place) return new GrpcError(code, message, { cause: error });
  return new GrpcError(code, message, { details: failureDetails(code, message, place), cause: error });
}
