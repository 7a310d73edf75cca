/**
 * The methods of BuildKit's Control service and of its gateway (LLBBridge), as far as buildx's docker driver calls
 * them.
 */
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import type { CacheRow } from '../../images/store/contract.ts';
import { hostPlatform } from '../../images/store/platform.ts';
import { VERSION } from '../../version.ts';
import { GrpcError, NOT_FOUND } from './grpc.ts';
import { BuildJob } from './job.ts';
import {
  bridgeSolved,
  info,
  pong,
  readBridgeSolve,
  readPrune,
  readRef,
  readReturn,
  readSolve,
  solved,
  usage,
  workers,
  type SolveRequest,
  type Worker,
} from './messages.ts';
import type { Method, Methods, ServerCall } from './server.ts';
import type { Sessions } from './session.ts';
import { bytes, message } from './wire.ts';

/** builds at a time, of all clients */
const MAX_JOBS = 256;
/** ms that a call waits for the other call of its build */
const PATIENCE = 30_000;
/** what the version of BuildKit means for clients: what they may ask of this one */
const BUILDKIT = `v0.13.2+husk.${VERSION}`;
/** header that says which build a call of the gateway belongs to */
const BUILD_ID = 'buildkit-controlapi-buildid';
const CAPABILITIES = 'solve.base return returnmap importcaches proto.refarray gateway.solve.metadata'.split(' ');
/** of LLB: clients ask for these before they let a Dockerfile be built */
const LLB = [
  'source.local',
  'source.local.followpaths',
  'source.local.excludepatterns',
  'source.image',
  'source.git',
  'source.http',
  'exec.meta.network',
  'exec.meta.proxyenv',
  'exec.mount.cache',
  'exec.mount.secret',
  'exec.mount.ssh',
  'exec.mount.tmpfs',
  'platform',
  'constraints',
];

export class Control {
  readonly #engine: Engine;
  readonly #sessions: Sessions;
  readonly #jobs = new Map<string, BuildJob>();
  readonly #known = new Map<string, Set<() => void>>();
  /** builds that are over, whose progress nobody has asked for yet */
  readonly #over = new Map<string, BuildJob>();

  constructor(engine: Engine, sessions: Sessions) {
    this.#engine = engine;
    this.#sessions = sessions;
  }

  methods(): Methods {
    const control = '/moby.buildkit.v1.Control';
    const bridge = '/moby.buildkit.v1.frontend.LLBBridge';
    return {
      [`${control}/ListWorkers`]: unary(() => workers(this.#worker())),
      [`${control}/Info`]: unary(() => info(BUILDKIT)),
      [`${control}/DiskUsage`]: unary(async () =>
        message(...(await this.#engine.images.buildCache()).map((row) => bytes(1, usage(row)))),
      ),
      [`${control}/Prune`]: (call) => this.#prune(call),
      [`${control}/Solve`]: unary((request, call) => this.#solve(readSolve(request), call.signal)),
      [`${control}/Status`]: (call) => this.#status(call),
      [`${bridge}/Ping`]: unary(() => pong(CAPABILITIES, LLB, this.#worker())),
      [`${bridge}/Solve`]: unary((request, call) => this.#bridgeSolve(request, call)),
      [`${bridge}/Return`]: unary(async (request, call) => {
        const failed = readReturn(request);
        (await this.#jobOf(call)).returned(failed && new GrpcError(failed.code, failed.text));
        return Buffer.alloc(0);
      }),
      // SERVING, for clients that ask whether the connection is alive
      '/grpc.health.v1.Health/Check': unary(() => Buffer.from([8, 1])),
    };
  }

  #worker(): Worker {
    const platform = hostPlatform();
    return {
      id: createHash('sha256').update(`husk ${hostname()}`).digest('hex').slice(0, 25),
      labels: {
        'org.mobyproject.buildkit.worker.executor': 'husk',
        'org.mobyproject.buildkit.worker.hostname': hostname(),
        // By this label, whatever its value, buildx knows a store that has images of several platforms.
        'org.mobyproject.buildkit.worker.snapshotter': 'overlayfs',
      },
      platform,
      version: BUILDKIT,
    };
  }

  async #solve(request: SolveRequest, signal: AbortSignal): Promise<Buffer> {
    refuse(request);
    if (this.#jobs.has(request.ref)) throw new HuskError(`job ID ${request.ref} exists`, { kind: 'conflict' });
    if (this.#jobs.size >= MAX_JOBS) throw new HuskError(`more than ${MAX_JOBS} builds at a time`, { kind: 'limit' });
    const job = new BuildJob(request.ref, this.#engine);
    const ended = new HuskError('the client canceled the build', { kind: 'conflict' });
    const cancel = (): void => job.end(ended);
    signal.addEventListener('abort', cancel, { once: true });
    this.#jobs.set(request.ref, job);
    for (const wake of this.#known.get(request.ref) ?? []) wake();
    try {
      if (signal.aborted) throw ended;
      job.begin(request, this.#sessions.get(request.session, job.signal));
      if (request.frontend !== '') {
        const { frontend, attributes } = request;
        await job.build({ frontend, attributes, cacheImports: [] }, signal);
        job.returned();
      }
      return solved(await job.result());
    } finally {
      signal.removeEventListener('abort', cancel);
      this.#jobs.delete(request.ref);
      job.end(new HuskError('the build is over', { kind: 'conflict' }));
      if (!job.isShown) this.#keep(job);
    }
  }

  async *#status({ messages, signal }: ServerCall): AsyncGenerator<Buffer> {
    const ref = readRef(await first(messages));
    const job = (this.#jobs.has(ref) ? undefined : this.#over.get(ref)) ?? (await this.#job(ref, signal));
    this.#over.delete(ref);
    job.isShown = true;
    yield* job.status.messages;
  }

  /**
   * A client asks for a build and for its progress at once, and a short build may be over before the second is heard.
   * The client gives up three seconds later, and says that its build has failed.
   */
  #keep(job: BuildJob): void {
    const [oldest] = this.#over.keys();
    if (this.#over.size >= MAX_JOBS) this.#over.delete(oldest!);
    this.#over.set(job.ref, job);
    setTimeout(() => {
      if (this.#over.get(job.ref) === job) this.#over.delete(job.ref);
    }, PATIENCE).unref();
  }

  async #bridgeSolve(bytesOfRequest: Buffer, call: ServerCall): Promise<Buffer> {
    const { hasDefinition, hasInputs, frontend, attributes, cacheImports } = readBridgeSolve(bytesOfRequest);
    if (hasInputs) throw new HuskError('husk does not take inputs of a frontend', { kind: 'unsupported' });
    const job = await this.#jobOf(call);
    await job.build({ frontend: hasDefinition ? '' : frontend, attributes, cacheImports }, call.signal);
    return bridgeSolved(job.ref);
  }

  #jobOf({ headers, signal }: ServerCall): Promise<BuildJob> {
    return this.#job(String(headers[BUILD_ID] ?? ''), signal);
  }

  /** @returns a build, which may be yet to be asked for @throws GrpcError */
  async #job(ref: string, signal: AbortSignal): Promise<BuildJob> {
    const found = this.#jobs.get(ref);
    if (found) return found;
    const waiting = this.#known.get(ref) ?? new Set();
    const come = Promise.withResolvers<void>();
    this.#known.set(ref, waiting.add(come.resolve));
    const late = setTimeout(come.resolve, PATIENCE);
    if (signal.aborted) come.resolve();
    signal.addEventListener('abort', () => come.resolve(), { once: true });
    try {
      await come.promise;
    } finally {
      clearTimeout(late);
      waiting.delete(come.resolve);
      if (waiting.size === 0) this.#known.delete(ref);
    }
    const job = this.#jobs.get(ref);
    if (!job) throw new GrpcError(NOT_FOUND, `no such job ${ref.slice(0, 128)}`);
    return job;
  }

  async *#prune({ messages }: ServerCall): AsyncGenerator<Buffer> {
    const { all, keepDuration, reserved, maxUsed, minFree } = readPrune(await first(messages));
    const usedBefore = keepDuration > 0 ? Date.now() - keepDuration / 1e6 : undefined;
    const limits = {
      ...(reserved > 0 && { reserved }),
      ...(maxUsed > 0 && { maxUsed }),
      ...(minFree > 0 && { minFree }),
    };
    const gone = await this.#engine.images.pruneBuildCache({
      ...(usedBefore !== undefined && { usedBefore }),
      limits,
      filter: ({ shared }: CacheRow) => all || !shared,
    });
    if (Object.keys(limits).length === 0) await this.#engine.pruneCacheMounts(usedBefore);
    for (const row of gone) yield usage(row);
  }
}

function refuse({ ref, hasDefinition, hasInputs, hasPolicy }: SolveRequest): void {
  if (ref === '' || ref.length > 128) throw new HuskError('a build has no ref', { kind: 'invalid' });
  if (hasDefinition)
    throw new HuskError('husk builds Dockerfiles: it does not run graphs of operations (LLB) of other frontends', {
      kind: 'unsupported',
    });
  if (hasInputs) throw new HuskError('husk does not take inputs of a frontend', { kind: 'unsupported' });
  if (hasPolicy) throw new HuskError('husk has no source policies', { kind: 'unsupported' });
}

async function first(messages: AsyncIterator<Buffer>): Promise<Buffer> {
  const { done, value } = await messages.next();
  return done === true ? Buffer.alloc(0) : Buffer.from(value);
}

/** A method of one message there and one back. */
const unary = (work: (request: Buffer, call: ServerCall) => Buffer | Promise<Buffer>): Method =>
  async function* (call) {
    yield await work(await first(call.messages), call);
  };
