/**
 * The jail and the filter for real: a Node process in it looks around, works as a supervisor does, and dies of what it
 * may not do.
 */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { FIRST_INHERITED } from '../../../src/launch/executor.ts';
import { jailPlan, libraryBinds, partBinds } from '../../../src/rootless/jail.ts';
import { identify } from '../../../src/state/process-identity.ts';
import { ordinaryUser } from './ordinary-user.ts';

const JAILER = join(import.meta.dirname, 'jailer.ts');
/** 128 + SIGSYS, signal(7) */
const KILLED_BY_FILTER = 128 + 31;
const user = ordinaryUser();

interface Inmate {
  code: number;
  /** of the process in the jail, as seen outside */
  pid: number;
  parent: number;
  said: Record<string, unknown>;
}

const DATA_FOLDERS = [
  'tmp',
  'layers',
  'blobs',
  'names',
  'volumes',
  'volumes/other',
  'containers',
  'containers/other',
  'containers/own',
];

function jail(action: string, argument?: string, third = String(process.pid)): Promise<Inmate & { stderr: string }> {
  const base = mkdtempSync(join(tmpdir(), 'husk-jail-'));
  const [data, share] = [join(base, 'data'), join(base, 'share')];
  for (const folder of [
    base,
    data,
    share,
    ...(action.startsWith('look') ? DATA_FOLDERS : []).map((name) => join(data, name)),
  ]) {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o755);
    if (user.uid !== undefined) chownSync(folder, user.uid, user.uid);
  }
  const [command, ...args] = [
    ...user.prefix,
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    JAILER,
    data,
    share,
    action,
    argument ?? data,
    third,
  ];
  return new Promise((resolve, reject) => {
    execFile(command!, args, (error, stdout, stderr) => {
      // files of subordinate ids: root may delete them, an ordinary user's test leaves them to the system's own
      // cleaning of /tmp
      try {
        rmSync(base, { recursive: true, force: true });
      } catch {}
      const ids = /\{"pid":\d+,"parent":\d+\}/.exec(stderr)?.[0];
      if (ids === undefined) return reject(new Error(stderr));
      resolve({
        code: error === null ? 0 : Number(error.code),
        ...(JSON.parse(ids) as { pid: number; parent: number }),
        said: (stdout === '' ? {} : JSON.parse(stdout)) as Record<string, unknown>,
        stderr,
      });
    });
  });
}

const real =
  user.missing === undefined
    ? test
    : (title: string, _run: unknown) => test.skip(`${title} (${user.missing})`, () => {});

real('in the jail there is what was listed, and nothing else', async (t: import('ava').ExecutionContext) => {
  const { said, stderr } = await jail('look', undefined, user.home);
  t.deepEqual(said['proc'], ['self', 'sys'], stderr);
  t.deepEqual(said['dev'], ['kvm', 'null']);
  for (const place of ['passwd', 'home', 'init', 'above']) t.is(said[place], 'ENOENT', place);
  // husk's own parts and the test's home are bound in at their own paths, wherever this checkout lies
  const own = new Set([import.meta.dirname, user.home, process.execPath].map((path) => path.split('/')[1]));
  for (const name of ['etc', 'usr', 'bin', 'home', 'root', 'sys', 'run', 'var'].filter((name) => !own.has(name)))
    t.false((said['root'] as string[]).includes(name), name);
  t.is(said['writeRoot'], 'EROFS');
  t.is(said['writeShareReadOnly'], 'EROFS');
  t.regex(String(said['writeOwnCode']), /EROFS|EACCES/);
});

real(
  'of the data root: its own container, the database and half-made things are to be written, images to be read; other containers are not there',
  async (t: import('ava').ExecutionContext) => {
    const own = { 'husk.db': 'done', 'tmp/x': 'done', 'containers/own/writable.ext4': 'done' };
    const images = {
      'layers/x': 'EROFS',
      'blobs/x': 'EROFS',
      'names/x': 'EROFS',
      'templates/x': 'EROFS',
      'saved/x': 'EROFS',
    };
    const { said, stderr } = await jail('look', undefined, user.home);
    t.deepEqual(
      said['writeData'],
      { ...own, ...images, 'containers/other/writable.ext4': 'ENOENT', 'volumes/other/x': 'ENOENT' },
      stderr,
    );
    t.deepEqual(said['seen'], { containers: ['own'], volumes: ['own'], saved: ['own'], key: 'ENOENT' });
    // one that takes its container away must be able to: then the others' folders are not out of its reach
    t.deepEqual((await jail('look removing', undefined, user.home)).said['writeData'], {
      ...own,
      ...images,
      'containers/other/writable.ext4': 'done',
      'volumes/other/x': 'done',
    });
  },
);

real('no network: a loopback that is down, and no socket but unix ones', async (t: import('ava').ExecutionContext) => {
  const { said } = await jail('look', undefined, user.home);
  t.deepEqual(said['interfaces'], ['lo']);
  t.is(said['inet'], -1);
});

real(
  'the link of its network device is the one descriptor passed in, and works under the filter, both ways',
  async (t: import('ava').ExecutionContext) => {
    const { said, stderr } = await jail('network', String(FIRST_INHERITED));
    t.deepEqual(said, { back: 100, seccomp: '2', descriptors: [String(FIRST_INHERITED)] }, stderr);
  },
);

real(
  'a resolver of the host is asked under the filter, by a socket that reaches nobody else',
  async (t: import('ava').ExecutionContext) => {
    const server = createSocket('udp4', (query, { port, address }) => {
      server.send(`re ${query}`, port, address, () => query.toString() === 'go' && server.close());
    }).bind(0, '127.0.0.1');
    await once(server, 'listening');
    const { said, stderr } = await jail('resolver', String(FIRST_INHERITED), String(server.address().port));
    t.deepEqual(said['answers'], ['re one', 're two', 're go', 'failed'], stderr);
  },
);

real(
  'ids are those of a container: owners in a shared folder are what the guest says',
  async (t: import('ava').ExecutionContext) => {
    const { said } = await jail('look', undefined, user.home);
    const map = said['uidMap'] as string[];
    t.is(map[0], '0');
    t.is(map[1], String(user.uid ?? process.getuid!()));
    t.is(map[3], '1');
    t.is(said['chown'], 'done');
    t.is(said['owner'], 1000);
  },
);

real('five capabilities, none to be gained; no core file', async (t: import('ava').ExecutionContext) => {
  const { said } = await jail('look', undefined, user.home);
  t.is(said['capabilities'], '000000008000001b');
  t.is(said['bounding'], '000000008000001b');
  t.is(said['noNewPrivileges'], '1');
  t.regex(String(said['limits']), / 0$/);
});

real(
  'under the filter: database, log, socket, threads, collector, compression; its pid is the true one',
  async (t: import('ava').ExecutionContext) => {
    const { code, pid, said, stderr } = await jail('live');
    t.is(code, 0, stderr);
    t.is(said['events'], 21);
    t.is(said['echo'], 'ping');
    t.is(said['seccomp'], '2');
    t.is(said['pid'], pid);
    t.deepEqual(Object.keys(said['self'] as object), ['pid', 'startTime', 'bootId']);
    t.is((said['self'] as { bootId: string }).bootId, identify(process.pid)!.bootId);
    t.true(said['parent'], 'a process it cannot see is there all the same');
    t.false(said['nobody']);
  },
);

real('a process that breaks no rule lives', async (t: import('ava').ExecutionContext) => {
  const { code, said } = await jail('crime', 'nothing');
  t.is(code, 0);
  t.is(String(said), 'survived');
});

for (const crime of [
  'socket',
  'inet',
  'connect',
  'send elsewhere',
  'sendmsg',
  'sendmmsg',
  'fork',
  'process by clone',
  'spawn',
  'execve',
  'ptrace',
  'mount',
  'unshare',
  'setns',
  'bpf',
  'userfaultfd',
  'perf_event_open',
  'keyctl',
  'io_uring_setup',
  'kill another',
  'tgkill another',
  'create a VM',
  'TIOCSTI',
  'lift a limit',
  'device node',
  'from another thread',
])
  real(`outside the list: ${crime}: the process is killed`, async (t: import('ava').ExecutionContext) => {
    const { code, said, stderr } = await jail('crime', crime);
    t.is(code, KILLED_BY_FILTER, stderr);
    t.deepEqual(said, {});
  });

const filter = { filter: new Uint8Array(8), flags: 0 };
const base = (sources: string[]) => {
  const plan = jailPlan({
    binds: sources.map((source) => ({ source, kind: 'directory', readOnly: false })),
    args: ['/x'],
    env: [],
    userNamespace: true,
    filter,
  });
  return plan.find((step) => step.op === 'pivotRoot')?.path;
};

test('the root is mounted where nothing to be shared lies below', (t) => {
  t.is(base(['/home/x']), '/sys');
  t.is(base(['/sys/class']), '/mnt');
  t.is(base(['/sys', '/mnt/disk']), '/tmp');
  t.throws(() => base(['/sys', '/mnt', '/tmp/a']), { message: /cannot make a jail/ });
});

test('nothing follows the program but what the plan says, and privileges go before the filter', (t) => {
  const plan = jailPlan({ binds: [], args: ['/x'], env: ['A=1'], userNamespace: true, filter });
  const ops = plan.map(({ op }) => op);
  t.is(ops[0], 'parentDeathSignal');
  t.true(ops.indexOf('pivotRoot') < ops.indexOf('capabilities'));
  t.true(ops.indexOf('capabilities') < ops.indexOf('noNewPrivileges'));
  t.true(ops.indexOf('noNewPrivileges') < ops.indexOf('seccomp'));
  t.is(ops.at(-1), 'exec');
});

test("host root's VMM cannot give a file capabilities: they would count on the whole host", (t) => {
  const bounding = (userNamespace: boolean) =>
    jailPlan({ binds: [], args: ['/x'], env: [], userNamespace, filter }).find((step) => step.op === 'capabilities')!
      .permitted;
  t.is(bounding(true), 0x8000001bn);
  t.is(bounding(false), 0x1bn);
});

test('libraries are found where the running Node has them', (t) => {
  const maps =
    '7f00-7f01 r-xp 00000000 08:01 1   /usr/lib/x86_64-linux-gnu/libc.so.6\n7f01-7f02 r-xp 00000000 08:01 2   /opt/lib/libstdc++.so.6.0.33\n';
  const places = new Set(['/usr/lib/x86_64-linux-gnu/libc.so.6', '/opt/lib/libstdc++.so.6']);
  t.deepEqual(
    libraryBinds(maps, (path) => places.has(path)).map(({ source, target }) => `${source} ${target}`),
    [
      '/lib64/ld-linux-x86-64.so.2 /lib64/ld-linux-x86-64.so.2',
      '/usr/lib/x86_64-linux-gnu/libc.so.6 /lib/libc.so.6',
      '/opt/lib/libstdc++.so.6 /lib/libstdc++.so.6',
    ],
  );
});

test('what is absent is not bound, and what a folder has is bound once', (t) => {
  t.deepEqual(partBinds([{ path: '/nowhere/at/all', kind: 'file' }]), []);
  const folder = import.meta.dirname;
  t.deepEqual(
    partBinds([
      { path: folder, kind: 'directory' },
      { path: join(folder, 'inmate.ts'), kind: 'file' },
    ]).map(({ target }) => target),
    [folder],
  );
});

for (const [diesWithParent, signal] of [
  [true, 9],
  [undefined, 0],
] as const)
  test(`a jail that ${diesWithParent ? 'ends with' : 'outlives'} whoever made it, whose files are made ready before it is entered`, (t) => {
    const plan = jailPlan({
      binds: [],
      args: ['/x'],
      env: [],
      userNamespace: true,
      prepare: [{ op: 'mkdir', path: '/c/data', mode: 0o700 }],
      filter: { filter: new Uint8Array(8), flags: 0 },
      ...(diesWithParent && { diesWithParent }),
    });
    t.deepEqual(plan[0], { op: 'parentDeathSignal', signal });
    const ops = plan.map(({ op }) => op);
    // as root of the user namespace, and of the host's files as they are
    t.true(ops.indexOf('mkdir') > ops.indexOf('setuid'));
    t.true(ops.indexOf('mkdir') < ops.indexOf('mount'));
  });
