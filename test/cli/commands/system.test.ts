/** `system df` and `system prune`: Docker's tables, sums and texts. */
import test from 'ava';
import type { DiskUsage, Engine } from '../../../src/engine/contract.ts';
import type { CachePruneOptions } from '../../../src/images/store/contract.ts';
import { width } from '../../../src/cli/output/table.ts';
import { container, fakeStdin, husk, image, NOW } from '../fake-context.ts';

const used = image({ repoTags: ['alpine:3'], size: 8_000_000 });
const USAGE: DiskUsage = {
  layersSize: 10_000_000,
  images: [
    { image: used, sharedSize: 3_000_000, containers: 2 },
    {
      image: image({ id: `sha256:${'d'.repeat(64)}`, repoTags: [], size: 5_000_000 }),
      sharedSize: 3_000_000,
      containers: 0,
    },
  ],
  containers: [
    {
      ...container({ name: 'up', state: { status: 'running', startedAt: '2026-01-02T03:00:05Z' } }),
      active: true,
      size: { rw: 1000, rootFs: 0 },
    },
    { ...container({ name: 'off', id: 'dead'.padEnd(64, '0') }), active: false, size: { rw: 3000, rootFs: 0 } },
  ],
  volumes: [
    {
      volume: {
        name: 'data',
        createdAt: NOW,
        anonymous: false,
        driver: 'local',
        labels: {},
        options: {},
        mountpoint: '/m',
      },
      links: 1,
      size: 36,
    },
    {
      volume: {
        name: 'old',
        createdAt: NOW,
        anonymous: true,
        driver: 'local',
        labels: {},
        options: {},
        mountpoint: '/o',
      },
      links: 0,
      size: 64,
    },
  ],
  buildCache: [
    {
      key: 'k'.repeat(64),
      diffId: 'a',
      size: 500,
      step: '[1/1] RUN x',
      made: NOW,
      lastUsed: NOW,
      uses: 2,
      shared: false,
    },
    // a layer of two rows is there once, and one that an image has is the image's
    {
      key: 'l'.repeat(64),
      diffId: 'a',
      size: 500,
      step: '[1/1] RUN y',
      made: NOW,
      lastUsed: NOW,
      uses: 0,
      shared: false,
    },
    {
      key: 'm'.repeat(64),
      diffId: 'b',
      size: 900,
      step: '[1/1] RUN z',
      made: NOW,
      lastUsed: NOW,
      uses: 0,
      shared: true,
    },
  ],
  cacheMounts: [
    { name: 'c'.repeat(64), size: 30, lastUsed: NOW, inUse: false },
    { name: 'd'.repeat(64), size: 7, lastUsed: NOW, inUse: true },
  ],
  templates: [],
};
const EMPTY: DiskUsage = {
  layersSize: 0,
  images: [],
  containers: [],
  volumes: [],
  buildCache: [],
  cacheMounts: [],
  templates: [],
};
const engine = (usage: DiskUsage): Partial<Engine> => ({ diskUsage: async () => usage });

test('df', async (t) => {
  t.deepEqual(await husk(['system', 'df'], { engine: engine(USAGE) }), {
    code: 0,
    stdout: `TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
Images          2         1         10MB      5MB (50%)
Containers      2         1         4kB       3kB (75%)
Local Volumes   2         1         100B      64B (64%)
Build Cache     5         1         537B      530B
`,
    stderr: '',
  });
  t.is(
    (await husk(['system', 'df', '--format', '{{.Type}} {{.Reclaimable}}'], { engine: engine(EMPTY) })).stdout,
    'Images 0B\nContainers 0B\nLocal Volumes 0B\nBuild Cache 0B\n',
  );
  t.deepEqual(
    JSON.parse((await husk(['system', 'df', '--format', 'json'], { engine: engine(USAGE) })).stdout.split('\n')[1]!),
    { Active: '1', Reclaimable: '3kB (75%)', Size: '4kB', TotalCount: '2', Type: 'Containers' },
  );
});

test('df -v', async (t) => {
  t.is(
    (await husk(['system', 'df', '-v'], { engine: engine(USAGE) })).stdout,
    `Images space usage:

REPOSITORY   TAG       IMAGE ID       CREATED        SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS
alpine       3         bbbbbbbbbbbb   24 hours ago   8MB       3MB           5MB           2
<none>       <none>    dddddddddddd   24 hours ago   5MB       3MB           2MB           0

Containers space usage:

CONTAINER ID   IMAGE      COMMAND                  LOCAL VOLUMES   SIZE      CREATED       STATUS         NAMES
c0ffee000000   alpine:3   "sh -c 'echo hello t…"   0               1kB       2 hours ago   Up 4 minutes   up
dead00000000   alpine:3   "sh -c 'echo hello t…"   0               3kB       2 hours ago   Created        off

Local Volumes space usage:

VOLUME NAME   LINKS     SIZE
data          1         36B
old           0         64B

Build cache usage: 537B

CACHE ID       CACHE TYPE        SIZE      CREATED                  LAST USED                USAGE     SHARED
kkkkkkkkkkkk   regular           500B      Less than a second ago   Less than a second ago   2         false
llllllllllll   regular           500B      Less than a second ago   Less than a second ago   0         false
mmmmmmmmmmmm   regular           900B      Less than a second ago   Less than a second ago   0         true
cccccccccccc   exec.cachemount   30B                                Less than a second ago             false
dddddddddddd   exec.cachemount   7B                                 Less than a second ago             false
`,
  );
  t.is(
    (
      await husk(['system', 'df', '-v', '--format', '{{range .Volumes}}{{.Name}} {{end}}{{len .Images}}'], {
        engine: engine(USAGE),
      })
    ).stdout,
    'data old 2\n',
  );
  t.is((await husk(['system', 'df', '-v', '--format', 'table {{.Size}}'], { engine: engine(USAGE) })).code, 1);
});

interface Asked {
  networks?: object;
  containers?: object;
  volumes?: object;
  images?: object;
  builds?: CachePruneOptions;
  mounts?: (number | undefined)[];
  templates?: true;
}

function pruning(asked: Asked): Partial<Engine> {
  return {
    prune: async (options) => ((asked.containers = options), { deleted: ['c1'], reclaimed: 1000 }),
    networks: async () => ({ prune: (options: object) => ((asked.networks = options), ['n1']) }) as never,
    volumes: async () =>
      ({ prune: async (options: object) => ((asked.volumes = options), { deleted: ['v1'], reclaimed: 20 }) }) as never,
    images: {
      prune: (options: object) => (
        (asked.images = options),
        { deleted: ['sha256:d'], untagged: ['a:1'], reclaimed: 3 }
      ),
      pruneBuildCache: async (options: CachePruneOptions) => {
        asked.builds = options;
        return USAGE.buildCache.filter(options.filter!);
      },
    } as never,
    pruneCacheMounts: async (usedBefore) => ((asked.mounts = [usedBefore]), 200),
    pruneSaved: async () => 0,
    pruneTemplates: async () => ((asked.templates = true), [{ key: 'f'.repeat(32), size: 4000, lastUsed: 0 }]),
    imageUsers: () => [],
  };
}

test('prune asks first, and says what it will do', async (t) => {
  const asked: Asked = {};
  const no = await husk(['system', 'prune', '-a', '--volumes', '--filter', 'label=b', '--filter', 'label!=a=1'], {
    engine: pruning(asked),
    stdin: fakeStdin('n\n'),
  });
  t.deepEqual(no, {
    code: 0,
    stdout: `WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all anonymous volumes not used by at least one container
  - all images without at least one container associated to them
  - all build cache

  Items to be pruned will be filtered with:
  - label!=a=1
  - label=b

Are you sure you want to continue? [y/N] `,
    stderr: '',
  });
  t.deepEqual(asked, {});
  const yes = await husk(['system', 'prune'], { engine: pruning(asked), stdin: fakeStdin('y\n') });
  t.is(
    yes.stdout,
    'WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  - all dangling images\n  - unused build cache\n\nAre you sure you want to continue? [y/N] Deleted Containers:\nc1\n\nDeleted Networks:\nn1\n\nDeleted Images:\nuntagged: a:1\ndeleted: sha256:d\n\n' +
      `Deleted build cache objects:\n${'k'.repeat(64)}\n${'l'.repeat(64)}\n\nDeleted VM templates:\n${'f'.repeat(32)}\n\nTotal reclaimed space: 5.703kB\n`,
  );
  t.is(asked.volumes, undefined);
  t.like(asked.images, { all: false });
});

test('prune -af --volumes takes all four, anonymous volumes only', async (t) => {
  const asked: Asked = {};
  const { stdout } = await husk(['system', 'prune', '-af', '--volumes', '--filter', 'label=x'], {
    engine: pruning(asked),
  });
  t.is(
    stdout,
    'Deleted Containers:\nc1\n\nDeleted Networks:\nn1\n\nDeleted Volumes:\nv1\n\nDeleted Images:\nuntagged: a:1\ndeleted: sha256:d\n\nTotal reclaimed space: 1.023kB\n',
  );
  t.like(asked.volumes, { all: false });
  // The build cache has no labels.
  t.is(asked.builds, undefined);
  t.deepEqual({ ...asked.networks }, { label: ['x'] });
  t.like(asked.images, { all: true });
  t.deepEqual({ ...(asked.containers as { filters: object }).filters }, { label: ['x'] });
});

test("until is a moment of the person's own clock", async (t) => {
  const asked: Asked = {};
  await husk(['system', 'prune', '-f', '--filter', 'until=1h'], { engine: pruning(asked) });
  t.like(asked.builds, { usedBefore: NOW - 3_600_000 });
  t.deepEqual(asked.mounts, [NOW - 3_600_000]);
  t.deepEqual({ ...asked.networks }, { until: [String((NOW - 3_600_000) / 1000)] });
  t.deepEqual({ ...(asked.containers as { filters: object }).filters }, { until: [String((NOW - 3_600_000) / 1000)] });
});

test('prune -a takes the cache of steps that images have, too', async (t) => {
  const asked: Asked = {};
  const { stdout } = await husk(['system', 'prune', '-af'], { engine: pruning(asked) });
  t.regex(stdout, /Deleted build cache objects:\nk{64}\nl{64}\nm{64}\n/);
  t.deepEqual(asked.mounts, [undefined]);
});

const LIMITS: [args: string[], limits: object, mounts: boolean][] = [
  [[], {}, true],
  [['--keep-storage', '1k'], { reserved: 1024 }, false],
  [
    ['--reserved-space', '1k', '--max-used-space', '2k', '--min-free-space', '3k'],
    { reserved: 1024, maxUsed: 2048, minFree: 3072 },
    false,
  ],
];
for (const [args, limits, mounts] of LIMITS)
  test(`builder prune ${args.join(' ')}: what may stay`, async (t) => {
    const asked: Asked = {};
    const { stdout, code } = await husk(['builder', 'prune', '-f', ...args], { engine: pruning(asked) });
    t.is(code, 0);
    t.deepEqual(JSON.parse(JSON.stringify(asked.builds?.limits)), limits);
    t.is(asked.mounts !== undefined, mounts);
    t.regex(stdout, mounts ? /^Total:\t700B$/m : /^Total:\t500B$/m);
  });

test('builder du: every layer once, and the caches of mounts', async (t) => {
  const images = { buildCache: async () => USAGE.buildCache } as never;
  const own: Partial<Engine> = { images, cacheMounts: async () => USAGE.cacheMounts };
  const { stdout } = await husk(['builder', 'du'], { engine: own });
  t.is(
    stdout,
    `ID             RECLAIMABLE   SIZE      LAST ACCESSED            USES      STEP
kkkkkkkkkkkk   true          500B      Less than a second ago   2         [1/1] RUN x
llllllllllll   true          500B      Less than a second ago   0         [1/1] RUN y
mmmmmmmmmmmm   false         900B      Less than a second ago   0         [1/1] RUN z
cccccccccccc   true          30B       Less than a second ago             cache mount
dddddddddddd   false         7B        Less than a second ago             cache mount
Reclaimable:	530B
Total:		1.437kB
`,
  );
  t.notRegex((await husk(['builder', 'du', '--filter', 'shared=true'], { engine: own })).stdout, /cache mount/);
});

const LONG = `[stage 2/7] RUN ${'a'.repeat(30)}${'日'.repeat(30)}`;
for (const [columns, uses, step] of [
  [80, false, '[stage 2/7] RUN…'],
  [100, true, '[stage 2/7] RUN aaaaaaaaa…'],
  [200, true, LONG],
  [40, false, '[stage 2/7] RUN…'],
] as const)
  test(`builder du on a terminal of ${columns} columns`, async (t) => {
    const rows = USAGE.buildCache.map((row) => ({ ...row, step: LONG }));
    const own: Partial<Engine> = {
      images: { buildCache: async () => rows } as never,
      cacheMounts: async () => USAGE.cacheMounts,
    };
    const { stdout } = await husk(['builder', 'du'], { engine: own, terminal: { columns, rows: 24 } });
    const lines = stdout.trimEnd().split('\n');
    t.is(lines[0]!.includes('USES'), uses);
    t.true(lines[1]!.endsWith(` ${step}`), lines[1]);
    if (columns >= 80) t.true(lines.slice(0, -2).every((line) => width(line) <= columns));
    t.true((await husk(['builder', 'du', '--verbose'], { engine: own })).stdout.includes(LONG));
  });

const REFUSED: [args: string[], stderr: string][] = [
  [['-f', '--filter', 'name=x'], "Error: invalid filter 'name'\n"],
  [['-f', '--volumes', '--filter', 'until=1h'], 'Error: the "until" filter is not supported with "--volumes"\n'],
];
for (const [args, stderr] of REFUSED)
  test(`refused: system prune ${args.join(' ')}`, async (t) =>
    t.like(await husk(['system', 'prune', ...args], { engine: pruning({}) }), { code: 1, stderr }));
