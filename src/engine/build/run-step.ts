/**
 * RUN: the mounts of the step, with a digest of each source for its key, and the command itself in the sandbox, which
 * is opened at the first step that misses.
 */
import type { BuildMount, BuildSandbox } from '../../build-sandbox.ts';
import { HuskError } from '../../errors.ts';
import type { PlannedLayer } from '../../images/build/copy.ts';
import { followedPath } from '../../images/build/files/sources.ts';
import type { CopyOperation, Origin, RunMount, RunOperation } from '../../images/build/operations.ts';
import type { Layer } from '../../images/store/contract.ts';
import type { Paths } from '../../paths.ts';
import { signalName } from '../../notation/signals.ts';
import type { BuildOptions } from '../build-contract.ts';
import { cacheName, seedCache, takeCache } from './cache-mounts.ts';
import { CommandFailed } from './failure.ts';
import type { LayersOf, Sources } from './sources.ts';
import type { Step } from './steps.ts';

/** modes of what has none of its own, as BuildKit's */
const SECRET_MODE = 0o400;
const SSH_MODE = 0o600;
const CACHE_MODE = 0o755;
/** where an agent's socket is that has no target, before its number; and the variable that ssh(1) finds it by */
const SSH_SOCKET = '/run/buildkit/ssh_agent.';
const SSH_VARIABLE = 'SSH_AUTH_SOCK';

export interface RunStepOptions {
  paths: Paths;
  sources: Sources;
  request: Pick<BuildOptions, 'secrets' | 'allow' | 'extraHosts' | 'network'> & {
    /** sockets of agents by id */
    ssh: Record<string, string>;
  };
  epoch: number | undefined;
  open: () => Promise<BuildSandbox>;
}

/** The mounts of a step: what of them is part of its key, and the mounts themselves, made only when it runs. */
interface StepMounts {
  inputs: Map<number, string>;
  /** `NAME=value` of secrets that are variables */
  hidden: string[];
  /** @param options.isFresh whether the step is made without the cache, and its caches begin empty */
  open(options: { signal: AbortSignal; onWait: () => void; isFresh: boolean }): Promise<OpenMounts>;
}

/** A cache mount; with a seed, the digest of that and the layer that a new cache is filled with. */
type CacheMount = RunMount & { seed?: string; files?: () => Promise<Layer> };

interface OpenMounts extends Disposable {
  mounts: BuildMount[];
}

export class RunStep {
  readonly #options: RunStepOptions;
  #sandbox: Promise<BuildSandbox> | undefined;
  /** folders of caches that steps without the cache have begun anew */
  readonly #renewed = new Set<string>();

  constructor(options: RunStepOptions) {
    this.#options = options;
  }

  async mounts(
    operation: RunOperation,
    layersOf: LayersOf,
    { cached }: { cached: (planned: PlannedLayer) => Promise<Layer> },
  ): Promise<StepMounts> {
    const inputs = new Map<number, string>();
    const hidden: string[] = [];
    const opens: (() => Promise<BuildMount>)[] = [];
    const caches: CacheMount[] = [];
    /** places of ssh mounts; one without a target gets its number among them, as BuildKit gives it */
    const sockets: string[] = [];
    const placed = (mount: RunMount): RunMount => ({
      ...mount,
      target: mount.target || `${SSH_SOCKET}${sockets.length}`,
    });
    for (const [index, mount] of operation.mounts.entries()) {
      if (mount.type === 'bind') {
        const { digest, open } = await this.#bind(mount, operation, layersOf, cached);
        inputs.set(index, digest);
        opens.push(open);
      } else if (mount.type === 'cache') {
        if (mount.from === undefined) {
          caches.push(mount);
          continue;
        }
        const { tree } = await this.#options.sources.open(mount.from, layersOf);
        const { path, last } = followedPath(tree, mount.source ?? '.');
        const planned = await this.#planned({ ...mount, source: path }, operation, layersOf);
        inputs.set(index, planned.key);
        caches.push({ ...mount, source: last, seed: planned.key, files: () => cached(planned) });
      } else if (mount.type === 'tmpfs') {
        opens.push(async () => ({ type: 'tmpfs', target: mount.target, ...(mount.size && { size: mount.size }) }));
      } else {
        const made = mount.type === 'secret' ? this.#secret(mount) : this.#ssh(placed(mount));
        if (mount.type === 'ssh') sockets.push(placed(mount).target);
        if (made?.type === 'secret' && mount.env !== undefined)
          hidden.push(`${mount.env}=${Buffer.from(made.data).toString('utf8')}`);
        // A secret that is a variable is a file only where one is asked for.
        if (made && made.target !== '') opens.push(async () => made);
      }
    }
    const [socket] = sockets;
    if (socket !== undefined && !operation.env.some((entry) => entry.startsWith(`${SSH_VARIABLE}=`)))
      hidden.push(`${SSH_VARIABLE}=${socket}`);
    return {
      inputs,
      hidden,
      open: async ({ signal, onWait, isFresh }) => {
        const taking = { signal, onWait, ...(isFresh && { renewed: this.#renewed }) };
        const others = await Promise.all(opens.map((open) => open()));
        using unwound = new DisposableStack();
        const taken: BuildMount[] = [];
        for (const same of inOrder(caches)) {
          const asked = same.find(({ sharing }) => sharing === 'locked') ?? same[0]!;
          const { folder } = unwound.use(await takeCache(this.#options.paths, asked, taking));
          const { files } = asked;
          if (files) await seedCache(folder, this.#options.paths, { layer: files, signal });
          for (const { target, source, readOnly = false, mode = CACHE_MODE, uid = 0, gid = 0 } of same)
            taken.push({ type: 'cache', target, folder, ...(source && { source }), readOnly, mode, uid, gid });
        }
        const held = unwound.move();
        return { mounts: [...others, ...taken], [Symbol.dispose]: () => held.dispose() };
      },
    };
  }

  /** A bind is a layer of the files that it shows: of the context what is not ignored, of a stage the stage's own. */
  async #bind(
    mount: RunMount,
    operation: RunOperation,
    layersOf: LayersOf,
    cached: (planned: PlannedLayer) => Promise<Layer>,
  ): Promise<{ digest: string; open: () => Promise<BuildMount> }> {
    const origin = originOf(mount);
    const path = mount.source ?? '.';
    const planned = await this.#planned(mount, operation, layersOf);
    const shown = {
      type: 'bind' as const,
      target: mount.target,
      readOnly: mount.readOnly ?? true,
      ...(path !== '.' && { source: path }),
    };
    return {
      digest: planned.key,
      open: async () => ({
        ...shown,
        from: { layers: origin.kind === 'context' ? [await cached(planned)] : await layersOf(origin) },
      }),
    };
  }

  /** What a mount shows, as a copy of it would be. */
  async #planned(mount: RunMount, { range }: RunOperation, layersOf: LayersOf): Promise<PlannedLayer> {
    const { sources } = this.#options;
    const origin = originOf(mount);
    const path = mount.source ?? '.';
    const asCopy: CopyOperation = {
      kind: 'copy',
      add: false,
      range,
      text: '',
      createdBy: '',
      origin,
      sources: [{ kind: 'path', path, written: path, isLiteral: true }],
      destination: '/',
      exclude: [],
      parents: true,
    };
    return await sources.copy(asCopy, [], await sources.open(origin, layersOf));
  }

  #secret({ id = '', target, required, mode = SECRET_MODE, uid = 0, gid = 0 }: RunMount): BuildMount | undefined {
    const found = this.#options.request.secrets.find((secret) => secret.id === id);
    if (found) return { type: 'secret', target, data: found.value, mode, uid, gid };
    if (required)
      throw new HuskError(`secret ${id}: not found`, {
        kind: 'not-found',
        fix: `give it with --secret id=${id},src=FILE`,
      });
    return undefined;
  }

  #ssh({ id = 'default', target, required, mode = SSH_MODE, uid = 0, gid = 0 }: RunMount): BuildMount | undefined {
    const agent = this.#options.request.ssh[id];
    if (agent !== undefined) return { type: 'ssh', target, agent, mode, uid, gid };
    if (required)
      throw new HuskError(`unset ssh forward key ${id}`, { kind: 'not-found', fix: `give it with --ssh ${id}` });
    return undefined;
  }

  /** @returns the operation with the network that `--network` gives to those without one of their own */
  settled(operation: RunOperation): RunOperation {
    const { network } = this.#options.request;
    return operation.network === 'default' ? { ...operation, network } : operation;
  }

  /** @throws HuskError with BuildKit's text for a command that fails */
  async run(
    operation: RunOperation,
    {
      layers,
      mounts,
      hidden,
      step,
      signal,
    }: { layers: readonly Layer[]; mounts: BuildMount[]; hidden: readonly string[]; step: Step; signal: AbortSignal },
  ): Promise<Layer> {
    const { request, epoch } = this.#options;
    if (operation.network === 'host') assertAllowed('network.host', request.allow);
    if (operation.insecure) assertAllowed('security.insecure', request.allow);
    const sandbox = await (this.#sandbox ??= this.#options.open());
    const command = operation.argv.join(' ');
    const process = `process ${JSON.stringify(command)} did not complete successfully`;
    let result: Awaited<ReturnType<BuildSandbox['run']>>;
    try {
      result = await sandbox.run({
        layers,
        operation: { ...operation, hidden: [...operation.hidden, ...hidden] },
        mounts,
        hosts: request.extraHosts.map(hostLine),
        ...(epoch !== undefined && { epoch }),
        output: (chunk, stream) => step.output(chunk, stream),
        signal,
      });
    } catch (error) {
      if (error instanceof HuskError && error.kind === 'start-failed')
        throw new HuskError(`${process}: ${error.message}`, { kind: 'start-failed', cause: error });
      throw error;
    }
    for (const line of result.leftOut) step.message(line);
    const { exit, layer } = result;
    if (exit.oomKilled && (exit.code !== 0 || exit.signal))
      throw new HuskError(`${process}: it was killed, as memory ran out`, { kind: 'start-failed' });
    if (exit.signal)
      throw new HuskError(`${process}: it was killed by ${signalName(exit.signal)}`, { kind: 'start-failed' });
    if (exit.code !== 0 || !layer)
      throw new CommandFailed(`${process}: exit code: ${exit.code}`, { command, code: exit.code });
    return { diffId: layer.diffId, size: layer.size, tar: layer.tar };
  }

  async close(): Promise<void> {
    await (await this.#sandbox?.catch(() => undefined))?.close();
  }
}

/** @throws HuskError for a right that `--allow` does not give */
export function assertAllowed(right: string, allow: readonly string[]): void {
  if (!allow.includes(right))
    throw new HuskError(`${right} is not allowed`, { kind: 'invalid', fix: `allow it with --allow ${right}` });
}

/** A line of /etc/hosts, of what `--add-host` has. @param text `name:ip` */
export function hostLine(text: string): { name: string; ip: string } {
  const colon = text.indexOf(':');
  return { name: text.slice(0, colon), ip: text.slice(colon + 1) };
}

/**
 * Caches in the order in which they are taken, by their names: no two steps wait for each other. Mounts of one cache in
 * one step share its folder, for which the step alone is one user; a private one is another's.
 */
function inOrder(caches: readonly CacheMount[]): CacheMount[][] {
  const groups = new Map<string, CacheMount[]>();
  for (const [index, mount] of caches.entries()) {
    // Behind those that wait: a private one takes what is free, and would keep them waiting for their own step.
    const key = mount.sharing === 'private' ? `${cacheName(mount)} ${index}` : cacheName(mount);
    groups.set(key, [...(groups.get(key) ?? []), mount]);
  }
  return [...groups].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, mounts]) => mounts);
}

const originOf = ({ from }: RunMount): Origin => from ?? { kind: 'context' };
