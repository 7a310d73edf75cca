/** An engine over a data root of its own, with one image that needs no layers and the fake sandbox. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Attachment, CreateOptions, Engine } from '../../src/engine/contract.ts';
import { openEngine } from '../../src/engine/assembly/engine.ts';
import { buildSpec } from '../../src/engine/create/spec/build.ts';
import { specFile } from '../../src/engine/life/exec.ts';
import { writeFileSync } from 'node:fs';
import { HuskError } from '../../src/errors.ts';
import type { Image, Images } from '../../src/images/store/contract.ts';
import { paths, type Paths } from '../../src/paths.ts';

const IMAGE: Image = {
  id: `sha256:${'ab'.repeat(32)}`,
  config: {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['sh'], Env: ['PATH=/usr/bin:/bin', 'FROM_IMAGE=1'], Labels: { from: 'image' } },
    rootfs: { type: 'layers', diff_ids: [`sha256:${'cd'.repeat(32)}`] },
  },
  layers: [],
  repoTags: ['test:latest'],
  repoDigests: [],
  size: 1000,
};

export interface TestEngine {
  engine: Engine;
  paths: Paths;
  dataRoot: string;
  /** creates, starts and reads everything */
  run(
    command: string[],
    options?: Partial<CreateOptions>,
  ): Promise<{ id: string; code: number; stdout: string; stderr: string }>;
}

const FAKE_SUPERVISOR = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, 'fake-supervisor.ts'),
];

/** @param images instead of the fake's own answers */
export async function openTestEngine(
  t?: ExecutionContext,
  at?: string,
  images: Partial<Images> = {},
): Promise<TestEngine> {
  const dataRoot = at ?? mkdtempSync(join(tmpdir(), 'husk-engine-'));
  // the runtime folder's path must fit into sun_path, so it is below the data root
  process.env['XDG_RUNTIME_DIR'] = dataRoot;
  const where = paths({ dataRoot });
  const engine = await openEngine({
    dataRoot,
    configFile: join(dataRoot, 'absent.json'),
    parts: {
      images: () => ({ ...fakeImages(), ...images }),
      supervisor: FAKE_SUPERVISOR,
      // of networks there are the records alone
      liveNetworks: { attach: async () => {}, detach: async () => {} },
      buildSpec: async ({ id, config }, request) => {
        const facts = {
          userNamespace: true,
          joined: {},
          etc: { hosts: '/etc/hosts', hostname: '/etc/hostname', resolvConf: '/etc/resolv.conf' },
          hostHostname: 'host',
          kernel: '6.1.0',
          recursiveReadonly: true,
          thermalCpus: [],
          oomScoreAdj: 0,
          defaultUlimits: [],
          devicesAt: () => undefined,
          allDevices: () => [],
          cpus: 1,
          blockDevice: () => undefined,
        };
        const { spec } = buildSpec(id, { config, request }, facts);
        writeFileSync(specFile({ paths: where }, id), JSON.stringify(spec));
        return spec;
      },
    },
  });
  if (!at)
    t?.teardown(async () => {
      for (const { id } of engine.list({ all: true }))
        await engine.remove(id, { force: true }).catch((error: unknown) => {
          // one with --rm goes by itself, whenever it is ready
          if (!(error instanceof HuskError) || error.kind !== 'not-found') throw error;
        });
      engine[Symbol.dispose]();
      // a supervisor on its way out may still be writing
      rmSync(dataRoot, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    });
  return {
    engine,
    dataRoot,
    paths: where,
    async run(command, options) {
      const { id } = await engine.create(createOptions({ command, ...options }));
      const attachment = (await engine.start(id, { attach: { stdin: false, stdout: true, stderr: true } }))!;
      return { id, ...(await readAll(attachment)) };
    },
  };
}

/** ms the two clocks behind an event's time may be apart (src/state/time.ts) */
export const CLOCKS = 60;

export async function readAll(attachment: Attachment): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  attachment.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('latin1')));
  attachment.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('latin1')));
  const { code } = await attachment.exited;
  await Promise.all(
    [attachment.stdout, attachment.stderr].map(
      (stream) => stream.readableEnded || new Promise((resolve) => stream.once('end', resolve)),
    ),
  );
  return { code, stdout, stderr };
}

export function createOptions(options: Partial<CreateOptions> = {}): CreateOptions {
  return {
    image: 'test',
    labels: {},
    annotations: {},
    env: [],
    groupAdd: [],
    interactive: false,
    tty: false,
    autoRemove: false,
    init: false,
    restart: { name: 'no', maximumRetryCount: 0 },
    pull: 'missing',
    isolation: 'userns',
    readOnly: false,
    tmpfs: {},
    mounts: [],
    volumesFrom: [],
    network: 'none',
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
    extraHosts: [],
    publish: [],
    publishAll: false,
    expose: [],
    privileged: false,
    capAdd: [],
    capDrop: [],
    securityOpt: [],
    devices: [],
    sysctls: {},
    ulimits: [],
    logDriver: 'json-file',
    logOptions: {},
    resources: {},
    ...options,
  };
}

function fakeImages(): Images {
  const find = (reference: string) => (reference === 'test' || reference === IMAGE.id ? IMAGE : undefined);
  const absent = () => {
    throw new HuskError('not in this fake', { kind: 'internal' });
  };
  return {
    find,
    get(reference) {
      const found = find(reference);
      if (!found) throw new HuskError(`No such image: ${reference}`, { kind: 'not-found' });
      return found;
    },
    list: () => [IMAGE],
    pull: async (reference) => {
      throw new HuskError(`pull access denied for ${reference}`, { kind: 'unauthorized' });
    },
    push: absent,
    pushIndex: absent,
    checkCredentials: absent,
    distribution: absent,
    search: absent,
    manifestLists: absent,
    tag: absent,
    remove: absent,
    prune: absent,
    save: absent,
    saveIndex: absent,
    platforms: absent,
    load: absent,
    commit: absent,
    import: absent,
    building: absent,
    buildCache: async () => [],
    pruneBuildCache: absent,
    collectBuildCache: absent,
  };
}
