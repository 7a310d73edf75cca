/** Root's containers and helpers where only root can go: husk's own folder and its data below /root. */
import { join } from 'node:path';
import test from 'ava';
import type { Step } from '../../src/launch/plan.ts';
import { closedAbove, reachSteps, type HostFiles, type Reach } from '../../src/rootless/reach.ts';
import { AS_ROOT, asRoot } from './containers.ts';

const FOLDER = 0o40755;
const CLOSED = 0o40700;
/** everything is a folder, but for what has a dot in its name; `links`: path → where it leads */
const host = (closed: string[], links: Record<string, string> = {}): HostFiles => ({
  mode: (path) =>
    path.includes('absent') ? undefined : closed.includes(path) ? CLOSED : path.includes('.') ? 0o100644 : FOLDER,
  real: (path) => links[path] ?? path,
});

for (const [path, closed, expected] of [
  ['/root/husk', ['/root'], '/root'],
  ['/root', ['/root'], undefined],
  ['/root/a/b/c', ['/root', '/root/a'], '/root'],
  ['/home/ann/a/husk', ['/home/ann/a'], '/home/ann/a'],
  ['/opt/husk', ['/root'], undefined],
] as [string, string[], string | undefined][]) {
  test(`closed above ${path}: ${expected}`, (t) => t.is(closedAbove(path, host(closed).mode), expected));
}

const words = (steps: Step[]) =>
  steps.map((step) => {
    if (step.op === 'mount') return `${step.fstype || 'propagation'} ${step.target}`;
    if (step.op === 'holdTree')
      return `hold ${step.tree} ${join(step.source, step.beneath ?? '')}${step.recursive ? ' and below' : ''}`;
    if (step.op === 'placeTree') return `place ${step.tree} ${step.target}`;
    return step.op;
  });

/** [title, what is to be reached, the host, the steps after the mount namespace is private] */
const CASES: [string, Reach, HostFiles, string[]][] = [
  ['what can be reached needs no steps', { kept: ['/opt/husk', '/usr/bin'] }, host(['/root']), []],
  ['what is not there needs none', { kept: ['/root/absent'] }, host(['/root']), []],
  [
    'a folder below a closed one in /tmp: nothing is covered before everything is held',
    { kept: ['/tmp/a/c', '/tmp/a/c/inner'] },
    host(['/tmp/a']),
    ['hold 0 /tmp/a/c and below', 'tmpfs /tmp/a', 'place 0 /tmp/a/c'],
  ],
  [
    'a folder and a file below one closed folder, and one below another',
    { kept: ['/root/a/husk', '/root/node.bin', '/home/ann/data'] },
    host(['/root', '/home/ann']),
    [
      'hold 0 /root/a/husk and below',
      'hold 1 /root/node.bin and below',
      'hold 2 /home/ann/data and below',
      'tmpfs /root',
      'tmpfs /home/ann',
      'place 0 /root/a/husk',
      'place 1 /root/node.bin',
      'place 2 /home/ann/data',
    ],
  ],
  [
    'a link into a closed folder',
    { kept: ['/srv/link'] },
    host(['/root'], { '/srv/link': '/root/a' }),
    ['hold 0 /root/a and below', 'tmpfs /root', 'place 0 /root/a'],
  ],
  [
    'a link in a closed folder that leads out',
    { kept: ['/root/link'] },
    host(['/root'], { '/root/link': '/srv/a' }),
    [],
  ],
  [
    'binds are shown elsewhere, even what lies where they are shown',
    {
      kept: ['/data/c1'],
      staged: {
        folder: '/data/c1/binds',
        trees: [
          { source: '/data', target: '/data/c1/binds/0', recursive: true },
          { source: '/root/v', beneath: 'x.txt', target: '/data/c1/binds/1', recursive: false },
        ],
      },
    },
    host(['/data', '/root']),
    [
      'hold 0 /data/c1 and below',
      'hold 1 /data and below',
      'hold 2 /root/v/x.txt',
      'tmpfs /data',
      'place 0 /data/c1',
      'tmpfs /data/c1/binds',
      'place 1 /data/c1/binds/0',
      'place 2 /data/c1/binds/1',
    ],
  ],
];
for (const [title, reach, files, expected] of CASES) {
  test(title, (t) =>
    t.deepEqual(
      words(reachSteps(reach, files)),
      expected.length === 0 ? [] : ['unshare', 'propagation /', ...expected],
    ),
  );
}

test('a host whose / is closed is one line with the fix', (t) => {
  t.throws(() => reachSteps({ kept: ['/opt/husk'] }, host(['/'])), { message: /others may not pass through \// });
});

(AS_ROOT ? test : test.skip)('a container whose data lie in a closed folder, with a bind from it', (t) => {
  const { stdout, stderr } = asRoot(`
    fs.mkdirSync('closed/data/containers', { recursive: true }); fs.writeFileSync('closed/secret', 'x'); fs.writeFileSync('closed/shown', 'shown'); fs.chmodSync('closed', 0o700); fs.chmodSync('closed/shown', 0o644);
    fs.renameSync(busybox('lower'), 'closed/data/lower');
    process.chdir('closed/data/containers');
    const lower = [resolve('../lower')]; const secret = resolve('../../secret');
    const change = (spec) => ({ ...spec, mounts: [...spec.mounts, { destination: '/mnt', type: 'bind', source: resolve('../../shown'), options: ['rbind', 'ro', 'rprivate'] }, { destination: '/all', type: 'bind', source: resolve('../..'), options: ['rbind', 'ro', 'rprivate'] }] });
    console.log((await sh('cat /mnt; echo; echo x > /f; id -u; ls /all || echo closed; cat /proc/self/mountinfo | grep -c closed/data/containers/c1/binds', { lower, change })).out);
    console.log(fs.existsSync('c1/upper/f'), fs.readFileSync(secret, 'utf8'));
  `);
  t.is(stderr, '');
  t.is(stdout, 'shown\n0\nclosed\n0\n\ntrue x\n');
});
