/**
 * Containers, images and volumes that husk has, and the same things as Docker's Engine API tells them: husk's own JSON
 * where husk has it, and what its lists know put into the API's shapes.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Container, DiskUsage, Engine, EventMessage } from '../../../src/engine/contract.ts';
import { inspectImage } from '../../../src/engine/look/inspect-image.ts';
import { statusText } from '../../../src/engine/look/summary-words.ts';
import { versionInfo } from '../../../src/cli/commands/version.ts';
import type { Image } from '../../../src/images/store/contract.ts';
import { openTestEngine } from '../../engine/fixture.ts';
import { husk, image, NOW } from '../fake-context.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const STARTED = Date.now();

const IMAGES: Image[] = [
  image({
    id: `sha256:${'c'.repeat(64)}`,
    // one name: Docker's client prints several in no order
    repoTags: ['web:1'],
    repoDigests: [`web@sha256:${'e'.repeat(64)}`],
    size: 123_456_789,
    config: {
      architecture: 'amd64',
      os: 'linux',
      created: new Date(STARTED - 22 * DAY).toISOString(),
      author: 'A <a@example.com>',
      rootfs: { type: 'layers', diff_ids: [`sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`] },
      history: [
        {
          created: new Date(STARTED - 30 * DAY).toISOString(),
          created_by: '/bin/sh -c #(nop) ADD file:0123456789 in / ',
        },
        {
          created: new Date(STARTED - 22 * DAY).toISOString(),
          created_by: 'RUN /bin/sh -c apt-get update && apt-get install -y nginx # buildkit',
          comment: 'buildkit.dockerfile.v0',
        },
        { created: new Date(STARTED - 22 * DAY).toISOString(), created_by: 'CMD ["nginx"]', empty_layer: true },
      ],
      config: {
        User: 'www',
        ExposedPorts: { '80/tcp': {}, '443/tcp': {} },
        Env: ['PATH=/usr/bin:/bin', 'VERSION=1.2'],
        Entrypoint: ['/entry.sh'],
        Cmd: ['nginx', '-g', 'daemon off;'],
        Volumes: { '/data': {} },
        WorkingDir: '/srv',
        Labels: { b: '<two>', a: 'one', 'com.example.vendor': 'x' },
        StopSignal: 'SIGQUIT',
        Healthcheck: { Test: ['CMD', 'true'], Interval: 90_000_000_000, Timeout: 1_500_000_000, Retries: 3 },
      },
    },
    layers: [{ size: 100_000_000 }, { size: 23_456_789 }] as Image['layers'],
  }),
  image({
    id: `sha256:${'d'.repeat(64)}`,
    repoTags: [],
    repoDigests: [],
    size: 5_000_000,
    config: {
      architecture: 'arm64',
      os: 'linux',
      variant: 'v8',
      created: new Date(STARTED - 50 * DAY).toISOString(),
      rootfs: { type: 'layers', diff_ids: [] },
    },
  }),
];

const EVENTS: EventMessage[] = [
  {
    Type: 'container',
    Action: 'start',
    Actor: { ID: 'a'.repeat(64), Attributes: { name: 'web', image: 'web:1' } },
    time: NOW * 1000,
  },
  {
    Type: 'image',
    Action: 'tag',
    Actor: { ID: `sha256:${'c'.repeat(64)}`, Attributes: { name: 'web:1' } },
    time: NOW * 1000,
  },
  { Type: 'volume', Action: 'create', Actor: { ID: 'data', Attributes: { driver: 'local' } }, time: NOW * 1000 },
];

export interface Subject extends Disposable {
  engine: Engine;
  answers: Record<string, unknown>;
  env: NodeJS.ProcessEnv;
}

export async function makeSubject(): Promise<Subject> {
  const { engine: real, dataRoot } = await openTestEngine();
  const env = {
    HUSK_CONFIG: join(dataRoot, 'absent.json'),
    HUSK_DATA_ROOT: dataRoot,
    XDG_RUNTIME_DIR: dataRoot,
    TZ: 'UTC',
  };
  mkdirSync(join(dataRoot, 'bound'));
  await (await real.volumes()).create({ name: 'data', labels: { tier: 'db' } });
  const ipam = [{ subnet: '10.5.0.0/16', range: '10.5.1.0/24' }];
  (await real.networks()).create({
    name: 'mine',
    labels: { tier: 'db' },
    options: { 'com.docker.network.driver.mtu': '1400' },
    ipam,
  });
  for (const line of CONTAINERS(dataRoot)) {
    const { code, stderr } = await husk(['create', ...line], { engine: real, env });
    if (code !== 0) throw new Error(`husk create ${line.join(' ')}: ${stderr}`);
  }
  // hours ago: what is printed does not change while a test runs
  const list: Engine['list'] = (options) =>
    real
      .list({ ...options, all: true })
      .map(aged)
      .filter((container) => options?.all || container.state.status === 'running');
  const usage: DiskUsage = {
    layersSize: 128_456_789,
    images: IMAGES.map((each, index) => ({ image: each, sharedSize: 0, containers: 1 - index })),
    containers: list({ all: true }).map((container) => ({
      ...container,
      active: container.state.status === 'running',
      size: SIZE,
    })),
    volumes: (await real.volumes()).list().map((volume) => ({ volume, links: 1, size: 2048 })),
    buildCache: [],
    cacheMounts: [],
    templates: [],
  };
  const find = (reference: string): Image | undefined =>
    IMAGES.find((each) => each.repoTags.includes(reference) || each.id === reference);
  const inspect: Engine['inspect'] = async (reference, options) => {
    const json = await real.inspect(reference, options);
    return options?.size ? { ...json, SizeRw: SIZE.rw, SizeRootFs: SIZE.rootFs } : json;
  };
  const told = {
    list,
    inspect,
    size: async () => SIZE,
    diskUsage: async () => usage,
    hostFacts: async () => ({
      limits: { name: 'cgroup v2', status: 'warn', value: 'by your systemd session: memory pids (not cpu, io)' },
      machines: { name: 'virtual machines', status: 'warn', value: 'no /dev/kvm' },
    }),
    images: { list: () => IMAGES, get: find, find },
    inspectImage: (reference: string) =>
      inspectImage({ ...find(reference)!, repoTags: ['registry.example:5000/team/web:1', 'web:1'] }),
    async *events() {
      yield* EVENTS;
    },
  };
  // what is not told here is the engine's own
  const engine = new Proxy(real, {
    get: (target, key) => Reflect.get(Object.hasOwn(told, key) ? told : target, key) as unknown,
  });
  return {
    engine,
    env,
    answers: await apiAnswers(engine, usage, env),
    [Symbol.dispose]() {
      real[Symbol.dispose]();
      rmSync(dataRoot, { recursive: true, force: true });
    },
  };
}

const SIZE = { rw: 12_345, rootFs: 1_234_567 };

/** Command lines of `create` without blanks in their words, and the command; the last one is named first in lists. */
const CONTAINERS = (folder: string): string[][] => [
  words('--name plain --network none test true'),
  [
    ...words(
      '--name full --network none --label a=b --label com.example.role=<front> --hostname h -i -t -e A=1 -u 1000 -w /w --stop-timeout 3 --restart on-failure:3',
    ),
    ...words(
      `-v ${folder}/bound:/b:ro -v data:/d --mount type=bind,src=${folder}/bound,dst=/m --mount type=tmpfs,dst=/t,tmpfs-size=1m --tmpfs /tmp2:size=1m --expose 80`,
    ),
    ...words(
      '--add-host x:1.2.3.4 --cap-add net_admin --cap-drop mknod --ulimit nofile=1024:2048 --dns 1.1.1.1 --health-cmd true --health-interval 90s',
    ),
    ...words('--sysctl net.core.somaxconn=1024 --annotation k=v --init --isolation userns test sh -c'),
    'echo "hello there"; sleep 1000',
  ],
];

const words = (line: string): string[] => line.split(' ');

function aged(container: Container, index: number): Container {
  const createdAt = STARTED - (index + 2) * HOUR - HOUR / 6;
  if (container.name !== 'full') return { ...container, createdAt };
  return {
    ...container,
    createdAt,
    state: { ...container.state, status: 'running', startedAt: new Date(STARTED - HOUR - HOUR / 6).toISOString() },
  };
}

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** What dockerd would answer. */
async function apiAnswers(engine: Engine, usage: DiskUsage, env: NodeJS.ProcessEnv): Promise<Record<string, unknown>> {
  const containers = engine.list({ all: true });
  const summary = (container: Container, sized: boolean) => ({
    Id: container.id,
    Names: [`/${container.name}`],
    Image: container.config.image,
    ImageID: container.imageId,
    Command: [
      container.config.path,
      ...container.config.args.map((word) => (word.includes(' ') ? `'${word}'` : word)),
    ].join(' '),
    Created: seconds(container.createdAt),
    Ports: [],
    Labels: container.config.labels,
    State: container.state.status,
    Status: statusText(container, Date.now()),
    HostConfig: { NetworkMode: container.config.options.network },
    NetworkSettings: { Networks: { [container.config.options.network]: {} } },
    Mounts: container.config.mounts.map((mount) => ({
      Type: mount.type,
      Name: mount.name ?? '',
      Source: mount.type === 'tmpfs' ? '' : mount.source,
      Destination: mount.destination,
      Driver: mount.type === 'volume' ? 'local' : '',
      RW: !mount.readonly,
    })),
    ...(sized && { SizeRw: SIZE.rw, SizeRootFs: SIZE.rootFs }),
  });
  const imageSummaries = IMAGES.map((each) => ({
    Id: each.id,
    ParentId: '',
    RepoTags: each.repoTags,
    RepoDigests: each.repoDigests,
    Created: seconds(Date.parse(each.config.created!)),
    Size: each.size,
    SharedSize: -1,
    Containers: -1,
    Labels: each.config.config?.Labels ?? null,
  }));
  const volumes = await engine.volumes();
  const networks = await engine.networks();
  const networkNames = networks.list().map(({ name }) => name);
  const volumeJson = (name: string): object => volumes.inspect(name);
  const { Server } = versionInfo();
  return {
    '/version': Server,
    '/info': JSON.parse((await husk(['info', '--format', 'json'], { engine, env })).stdout) as object,
    '/containers/json': (query: URLSearchParams) =>
      containers
        .filter((container) => query.get('all') === '1' || container.state.status === 'running')
        .map((container) => summary(container, query.get('size') === '1')),
    ...Object.fromEntries(
      await Promise.all(
        containers.map(async ({ name }) => [`/containers/${name}/json`, await engine.inspect(name)] as const),
      ),
    ),
    '/images/json': imageSummaries,
    '/images/web:1/json': engine.inspectImage('web:1'),
    '/images/web:1/history': historyOf(IMAGES[0]!),
    '/networks': networkNames.map((name) => networks.inspect(name)),
    ...Object.fromEntries(networkNames.map((name) => [`/networks/${name}`, networks.inspect(name)])),
    '/volumes': { Volumes: volumes.list().map(({ name }) => volumeJson(name)), Warnings: null },
    '/volumes/data': volumeJson('data'),
    '/system/df': {
      LayersSize: usage.layersSize,
      Images: imageSummaries.map((each, index) => ({ ...each, SharedSize: 0, Containers: 1 - index })),
      Containers: usage.containers.map((container) => summary(container, true)),
      Volumes: usage.volumes.map(({ volume, links, size }) => ({
        ...volumeJson(volume.name),
        UsageData: { RefCount: links, Size: size },
      })),
      BuildCache: [],
    },
    '/events': () => EVENTS.map((event) => JSON.stringify(apiEvent(event))).join('\n'),
  };
}

function historyOf({ id, config, layers }: Image): object[] {
  let layer = 0;
  return config
    .history!.map((step) => ({
      Created: seconds(Date.parse(step.created!)),
      CreatedBy: step.created_by,
      Comment: step.comment ?? '',
      Size: step.empty_layer ? 0 : layers[layer++]!.size,
      Tags: null,
    }))
    .reverse()
    .map((step, index) => ({ Id: index === 0 ? id : '<missing>', ...step }));
}

function apiEvent({ Type, Action, Actor, time }: EventMessage): object {
  const legacy = Type === 'container' || Type === 'image' ? { status: Action, id: Actor.ID } : {};
  return {
    ...legacy,
    ...(Type === 'container' && { from: Actor.Attributes['image'] }),
    Type,
    Action,
    Actor,
    scope: 'local',
    time: seconds(time / 1000),
    timeNano: time * 1000,
  };
}
