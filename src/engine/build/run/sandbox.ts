/**
 * Opens what runs the RUN steps of a build (src/build-sandbox.ts): the one place where layers, networks and user
 * namespaces of a build's steps meet. It knows no Dockerfile, no cache and no image.
 */
import { release } from 'node:os';
import type { BuildRun, BuildRunResult, BuildSandbox, BuildSettings } from '../../../build-sandbox.ts';
import type { Config } from '../../../config.ts';
import type { StepMount } from '../../../container/build/mounts.ts';
import { HuskError } from '../../../errors.ts';
import { makeFolder } from '../../../host/files/make-folder.ts';
import { randomHex } from '../../../host/kernel/random.ts';
import { keepLayer, stackFolders } from '../../../images/layers/run-layers.ts';
import { TREE } from '../../../images/layers/tree-links.ts';
import type { Layer } from '../../../images/store/contract.ts';
import { idMaps } from '../../../rootless/idmap.ts';
import { BuildSteps } from '../../../rootless/build/sandbox.ts';
import type { Rlimit } from '../../../spec.ts';
import { makeTmpFolder, tmpPath } from '../../../state/tmp-folder.ts';
import { hardLimit, thermalCpus } from '../../create/host-facts.ts';
import { pingGroupRange } from '../../create/spec/ping-groups.ts';
import { DEFAULT_ULIMITS, rlimits } from '../../create/spec/ulimits.ts';
import type { EngineContext } from '../../record/context.ts';
import { stepFiles } from './files.ts';
import { DefaultNetwork } from './network.ts';
import { BUILD_HOSTNAME, RunSpecs } from './spec.ts';

export type BuildContext = Pick<EngineContext, 'paths' | 'config' | 'database' | 'networks'>;

const ID_BYTES = 32;

/**
 * Makes the namespaces ready, beside what the caller does.
 * @throws HuskError `unsupported` where this host or user cannot have them
 */
export async function openBuildSandbox(context: BuildContext, settings: BuildSettings = {}): Promise<BuildSandbox> {
  const { paths } = context;
  // Where root runs husk, what is to be reached in the user namespace must be there when that is entered.
  makeTmpFolder(paths);
  for (const folder of [paths.layers, paths.layerLinks]) makeFolder(folder, 0o711);
  return new UsernsBuildSandbox(context, settings);
}

class UsernsBuildSandbox implements BuildSandbox {
  readonly #context: BuildContext;
  readonly #steps: BuildSteps;
  readonly #specs: RunSpecs;
  readonly #network: DefaultNetwork;
  /** the layers that steps have made here, by diffID */
  readonly #made = new Map<string, Layer & { tree: string }>();

  constructor(context: BuildContext, settings: BuildSettings) {
    const { paths, database } = context;
    this.#context = context;
    this.#network = new DefaultNetwork({
      database,
      paths,
      network: async () => (await context.networks()).find('bridge') ?? missing('bridge'),
      hostname: BUILD_HOSTNAME,
      problem: settings.problem ?? (() => {}),
    });
    this.#specs = new RunSpecs(settings, {
      kernel: release(),
      thermalCpus: thermalCpus(),
      rlimits: ulimits(settings, context.config),
      pingGroups: pingGroupRange(idMaps().gid),
    });
    this.#steps = new BuildSteps({
      paths,
      newFolder: () => tmpPath(paths, 'tree'),
      treeName: TREE,
      keep: async (layer) => void this.#made.set(layer.diffId, await keepLayer(layer, paths)),
    });
  }

  async run({ layers, operation, mounts = [], hosts = [], ...step }: BuildRun): Promise<BuildRunResult> {
    const { paths } = this.#context;
    const options = step.signal ? { signal: step.signal } : {};
    const lower = await stackFolders(layers, paths, options);
    const own: StepMount[] = [];
    for (const mount of mounts) {
      if (mount.type !== 'bind') own.push(mount);
      else if ('folder' in mount.from) own.push({ ...mount, from: mount.from });
      else own.push({ ...mount, from: { lower: await stackFolders(mount.from.layers, paths, options) } });
    }
    const id = randomHex(ID_BYTES);
    const network = operation.network === 'default' ? await this.#network.join(id) : undefined;
    const { layer, ...result } = await this.#steps.run({
      ...step,
      id,
      ...(network && { network }),
      spec: this.#specs.make(operation),
      lower,
      mounts: own,
      files: stepFiles(operation, hosts, this.#context.config),
    });
    const kept = layer && this.#made.get(layer.diffId);
    return { ...result, ...(kept && { layer: kept }) };
  }

  async close(): Promise<void> {
    await this.#steps.close();
    await this.#network.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** @throws HuskError as for any container: one above the caller's own hard limit */
function ulimits({ ulimits: asked = [] }: BuildSettings, config: Config): Rlimit[] {
  const configured = Object.values(config['default-ulimits'] ?? {});
  return rlimits(
    asked,
    [...DEFAULT_ULIMITS, ...configured.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard }))],
    process.getuid!() === 0 ? undefined : hardLimit,
    hardLimit,
  );
}

function missing(network: string): never {
  throw new HuskError(`network ${network} not found`, { kind: 'not-found' });
}
