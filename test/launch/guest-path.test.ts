/**
 * The plan of the VM's guest (`rootless: false`: real mknod, trusted overlay attributes, no user namespace) carried out
 * by a real root, in the test host, and compared with the rootless run of the same spec on the same kernel: a container
 * must not see which one it is in.
 */
import test from 'ava';
import { existsSync } from 'node:fs';
import { hostPatience, measureInTestHost, missingTestHost } from '../fixtures/test-host.ts';
import { ROOT } from '../fixtures/user.ts';
import { PRELUDE } from '../rootless/containers.ts';

const PROGRAM = `${PRELUDE}
const { LocalSandbox } = await load('container/local-sandbox.ts');
const { planContainer } = await load('container/plan.ts');
const { ContainerCgroup } = await load('container/cgroup/cgroup.ts');
const lower = busybox('guest-lower');
execFileSync('chown', ['-R', '-h', '0:0', lower]);
const change = (spec) => ({ ...spec, linux: { ...spec.linux, resources: { pids: { limit: 30 } } } });
const guest = (args) => {
  const directory = resolve('guest'); fs.mkdirSync(directory);
  for (const name of ['upper', 'work', 'merged']) fs.mkdirSync(join(directory, name));
  const spec = makeSpec(args, (spec) => change({ ...spec, linux: { ...spec.linux, namespaces: spec.linux.namespaces.filter(({ type }) => type !== 'user') } }));
  return new LocalSandbox(spec, {
    id: 'guest', rootless: false,
    cgroup: async () => ContainerCgroup.create('guest', spec.linux.resources, { parent: '/sys/fs/cgroup/husk', supervisor: process.pid }),
    plan: (spec) => planContainer(spec, { kind: 'overlay', lower: [lower], upper: directory + '/upper', work: directory + '/work', merged: directory + '/merged' }, { rootless: false, cgroup2: true, waitFor: { cgroup: true, exec: true } }),
  });
};
const SCRIPT = \`
section() { echo "== $1"; }
section dev; cd /dev; for f in *; do stat -c '%n %F %t,%T %a %u:%g' $f; done; cd /
section links; for f in fd stdin stdout stderr ptmx core; do readlink /dev/$f; done
section works; echo x >/dev/null && head -c 4 /dev/zero | wc -c; head -c 8 /dev/urandom | wc -c; echo x 2>&1 >/dev/full; (: </dev/tty) 2>&1
section mounts; cut -d' ' -f5- /proc/self/mountinfo
section status; grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Uid)' /proc/self/status
section masked; for f in /proc/kcore /proc/keys /proc/timer_list /proc/acpi /sys/firmware; do head -c 4 $f 2>&1 | wc -c; ls -A $f 2>&1 | grep -v kcore | wc -l; done
section readonly; for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/x; do (echo x >$f) 2>&1; done
section cgroup; cat /proc/self/cgroup; ls /sys/fs/cgroup | head -3; mkdir /sys/fs/cgroup/x 2>&1
section files; echo new >/new; rm -r /root; ls -A /; rm /etc/group; cat /etc/group 2>&1; exit 0
\`;
const finish = async (sandbox) => {
  try {
    await sandbox.prepare(NOTHING);
    const child = await sandbox.start();
    const [out, err, exit] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
    return { out, err, exit };
  } finally { await sandbox.destroy(); }
};
report('guest', await finish(guest(['sh', '-c', SCRIPT])));
report('rootless', await run(['sh', '-c', SCRIPT], { change }));
report('left', fs.readdirSync('/sys/fs/cgroup/husk', { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name));
`;

interface Run {
  out: string;
  err: string;
  exit: { code: number };
}
let runs: { guest: Run; rootless: Run; left: string[] };
const reason = missingTestHost() ?? (existsSync(`${ROOT}/dist/husk.cjs`) ? undefined : 'husk is not built');
const inHost = reason === undefined ? test : test.skip;
if (reason === undefined)
  test.before(async (t) => {
    t.timeout(hostPatience());
    // one emulated CPU: nothing here runs at the same time, and QEMU emulates one more simply than two
    runs = (await measureInTestHost(PROGRAM, { user: 'root', cpus: 1 })) as unknown as typeof runs;
  });

inHost('both end well, and say nothing', (t) => {
  for (const { exit, err } of [runs.guest, runs.rootless]) {
    t.is(err, '');
    t.is(exit.code, 0);
  }
});
for (const name of ['links', 'works', 'status', 'masked', 'readonly', 'cgroup', 'files'])
  inHost(`the same: ${name}`, (t) => {
    const [guest, rootless] = [section(runs.guest, name), section(runs.rootless, name)];
    t.true(guest.length > 0);
    t.deepEqual(guest, rootless);
  });
inHost("the same nodes in /dev, but that a rootless container cannot see that the host's root owns them", (t) => {
  const guest = section(runs.guest, 'dev');
  t.true(guest.includes('null character special file 1,3 666 0:0'));
  t.deepEqual(
    guest,
    section(runs.rootless, 'dev').map((line) => line.replace(/^(.* character special file .*) 65534:65534$/, '$1 0:0')),
  );
});
inHost('the same mounts, but that devices are nodes', (t) => {
  const [guest, rootless] = [mounts(runs.guest), mounts(runs.rootless)];
  t.deepEqual(guest, rootless);
});
inHost('no cgroup is left', (t) => t.deepEqual(runs.left, []));

function section({ out }: Run, name: string): string[] {
  return (new RegExp(`^== ${name}\n((?:(?!== ).*\n)*)`, 'm').exec(out)?.[1] ?? '').trim().split('\n');
}

/**
 * mount point, flags, type; without what differs by nature: bound device nodes, and that masked files show the file
 * system of the null they hide behind
 */
function mounts(run: Run): string[] {
  return section(run, 'mounts')
    .map((line) => line.split(' '))
    .filter(([point]) => !/^\/dev\/(null|zero|full|random|urandom|tty|console)$/.test(point!))
    .map((words) =>
      [words[0], words[1]!.replace(',relatime', ''), words[words.indexOf('-') + 1]!.replace('devtmpfs', 'tmpfs')].join(
        ' ',
      ),
    );
}
