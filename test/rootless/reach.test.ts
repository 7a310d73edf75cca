/** Root's containers and helpers where only root can go: husk's own folder and its data below /root. */
import test from 'ava';
import { closedAbove, reachSteps } from '../../src/rootless/reach.ts';
import { AS_ROOT, asRoot } from './containers.ts';

const modes = (closed: string[]) => (folder: string) => (closed.includes(folder) ? 0o40700 : 0o40755);

for (const [path, closed, expected] of [
  ['/root/husk', ['/root'], '/root'],
  ['/root', ['/root'], undefined],
  ['/root/a/b/c', ['/root', '/root/a'], '/root'],
  ['/home/ann/a/husk', ['/home/ann/a'], '/home/ann/a'],
  ['/opt/husk', ['/root'], undefined],
] as [string, string[], string | undefined][]) {
  test(`closed above ${path}: ${expected}`, (t) => t.is(closedAbove(path, modes(closed)), expected));
}

test('what can be reached needs no steps', (t) => {
  t.deepEqual(reachSteps(['/opt/husk', '/usr/bin'], modes(['/root'])), []);
});

test('two folders below one closed one', (t) => {
  const steps = reachSteps(['/root/a/husk', '/root/data', '/root/data/inner'], modes(['/root']));
  t.deepEqual(
    steps.map((step) => (step.op === 'mount' ? `${step.fstype || 'bind'} ${step.source} ${step.target}` : step.op === 'mkdir' ? `mkdir ${step.path}` : step.op)),
    ['tmpfs husk /tmp', 'mkdir /tmp/0', 'bind /root/a/husk /tmp/0', 'mkdir /tmp/1', 'bind /root/data /tmp/1', 'tmpfs husk /root', 'mkdir /root/a', 'mkdir /root/a/husk', 'bind /tmp/0 /root/a/husk', 'mkdir /root/data', 'bind /tmp/1 /root/data', 'umount'],
  );
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
