/**
 * A container's files as an ordinary user copies, compares, commits and exports them: bin/husk with user namespaces.
 * The peer's view is in test/peer/files.test.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { missingImageTools } from '../../fixtures/images.ts';
import { tarball } from '../../fixtures/tar.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../../fixtures/user.ts';

const BUILT = ['husk.cjs', 'husk-init', 'husk-launch'].every((name) => existsSync(join(ROOT, 'dist', name)));
const built = BUILT ? test.serial : test.serial.skip;

function ok(t: ExecutionContext, user: TestUser, ...args: string[]): string {
  const { status, stdout, stderr } = user.husk(...args);
  t.is(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

function refused(t: ExecutionContext, user: TestUser, args: string[], says: RegExp): void {
  const { status, stderr } = user.husk(...args);
  t.not(status, 0, args.join(' '));
  t.regex(stderr, says);
}

/** until the container's command has come to where it makes this file */
function untilReady(user: TestUser, name: string, file: string): void {
  while (user.husk('exec', name, 'test', '-e', file).status === 1);
}

/** a user with the image `base`, of busybox and little else */
function userWithBase(t: ExecutionContext): TestUser {
  const user = ordinaryUser();
  t.teardown(() => {
    const left = user.husk('ps', '-aq').stdout.split('\n').filter(Boolean);
    if (left.length > 0) user.husk('rm', '-f', ...left);
    user[Symbol.dispose]();
  });
  const { status, stderr } = user.run([HUSK, 'import', '-', 'base'], {
    input: execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 }),
  });
  t.is(status, 0, stderr);
  return user;
}

built('what a container does to links and folders while it is copied never leads to the host', (t) => {
  const user = userWithBase(t);
  // a folder of the container that is a link to /etc every other moment
  const swap =
    'mkdir -p /t/a/ssl /t/d; touch /t/a/own; ln -s /etc /t/l; while :; do mv /t/a /t/b; mv /t/l /t/a; mv /t/a /t/l; mv /t/b /t/a; done';
  ok(t, user, 'run', '-d', '--name', 'cc', '--network', 'none', 'base', 'sh', '-c', swap);
  const marker = join(user.home, 'tmp/marker');
  writeFileSync(marker, 'from the host');
  for (let round = 0; round < 3; round++) {
    const out = join(user.home, `tmp/out${round}`);
    // it may find nothing at that moment, or the container's own /etc; never the host's
    user.husk('cp', 'cc:/t', out);
    // find(1) follows no link; readdirSync does
    const names = user.run(['find', out]).stdout.split('\n');
    t.deepEqual(
      names.filter((name) => /shadow|hosts/.test(name)),
      [],
    );
    user.husk('cp', marker, 'cc:/t/a/');
  }
  t.false(existsSync('/etc/marker'));
  ok(t, user, 'rm', '-f', 'cc');
});

built('an archive into a container stays in it, whatever it says', (t) => {
  const user = userWithBase(t);
  ok(t, user, 'run', '-d', '--name', 'cc', '--network', 'none', 'base', 'sleep', '1000');
  const host = join(user.home, 'tmp/host');
  writeFileSync(host, 'host');
  const send = (archive: Buffer, path = '/d') => user.run([HUSK, 'cp', '-', `cc:${path}`], { input: archive });
  ok(t, user, 'exec', 'cc', 'mkdir', '/d');
  t.not(send(tarball({ name: '../../../../../..' + host, body: 'x' })).status, 0);
  for (const link of ['../../../../../../../..', '/'])
    t.is(send(tarball({ name: 'up', type: '2', link }, { name: 'up' + host, body: 'x' })).status, 0);
  t.is(send(tarball({ name: 'abs', type: '2', link: host }, { name: 'abs', body: 'x' })).status, 0);
  t.is(readFileSync(host, 'utf8'), 'host');
  t.is(ok(t, user, 'exec', 'cc', 'cat', host), 'x', 'the link led to the same path in the container');
  // no devices in a user namespace, and the rest arrives
  t.is(send(tarball({ name: 'sda', type: '4', major: 8 }, { name: 'beside', body: 'y' })).status, 0);
  t.is(ok(t, user, 'exec', 'cc', 'ls', '/d'), 'abs\nbeside\nup');
  const broken = send(Buffer.alloc(2048, 'x'));
  t.is(broken.status, 1);
  t.regex(broken.stderr, /^Error: invalid tar/);
  t.regex(send(tarball({ name: 'own', uid: 4_000_000 })).stderr, /cannot write \/d\/own: invalid argument/);
  // owners are the archive's, set-user-ID bits too: it is the container's root who asked for them
  t.is(send(tarball({ name: 'suid', mode: 0o4755, uid: 7, gid: 8 })).status, 0);
  t.regex(ok(t, user, 'exec', 'cc', 'stat', '-c', '%a %u:%g', '/d/suid'), /^4755 7:8$/);
});

built('owners: root in a container, the caller here; with -a those of the source', (t) => {
  const user = userWithBase(t);
  ok(
    t,
    user,
    'run',
    '-d',
    '--name',
    'cc',
    '--network',
    'none',
    'base',
    'sh',
    '-c',
    'mkdir /d; echo x >/d/f; chown 5:6 /d/f; chmod 4711 /d/f; touch /ready; sleep 1000',
  );
  untilReady(user, 'cc', '/ready');
  writeFileSync(join(user.home, 'tmp/f'), 'x');
  ok(t, user, 'cp', 'tmp/f', 'cc:/plain');
  ok(t, user, 'cp', '-a', 'tmp/f', 'cc:/kept');
  t.is(
    ok(t, user, 'exec', 'cc', 'stat', '-c', '%u', '/plain', '/kept'),
    `0\n${statSync(join(user.home, 'tmp/f')).uid}`,
  );
  ok(t, user, 'cp', 'cc:/d/f', 'tmp/out');
  const { uid, mode } = statSync(join(user.home, 'tmp/out'));
  t.deepEqual([uid, mode & 0o7777], [user.uid, 0o711]);
});

built('volumes, bind mounts and a read-only root, running and stopped', (t) => {
  const user = userWithBase(t);
  user.run(['mkdir', '-p', 'tmp/bind']);
  ok(
    t,
    user,
    'run',
    '-d',
    '--name',
    'cc',
    '--network',
    'none',
    '--read-only',
    '-v',
    'vol:/vol',
    '-v',
    `${user.home}/tmp/bind:/bind`,
    '-v',
    `${user.home}/tmp/bind:/ro:ro`,
    '--tmpfs',
    '/scratch',
    'base',
    'sh',
    '-c',
    'echo v >/vol/f; echo s >/scratch/f; touch /scratch/ready; sleep 1000',
  );
  untilReady(user, 'cc', '/scratch/ready');
  writeFileSync(join(user.home, 'tmp/n'), 'new');
  for (const state of ['running', 'stopped']) {
    ok(t, user, 'cp', 'cc:/vol/f', 'tmp/v');
    t.is(readFileSync(join(user.home, 'tmp/v'), 'utf8'), 'v\n', state);
    ok(t, user, 'cp', 'tmp/n', `cc:/vol/${state}`);
    ok(t, user, 'cp', 'tmp/n', `cc:/bind/${state}`);
    t.is(readFileSync(join(user.home, 'tmp/bind', state), 'utf8'), 'new');
    refused(t, user, ['cp', 'tmp/n', 'cc:/ro/x'], /marked read-only|read-only/);
    if (state === 'running') {
      refused(t, user, ['cp', 'tmp/n', 'cc:/x'], /^Error: container rootfs is marked read-only\n/);
      t.is(user.run(['sh', '-c', `${HUSK} cp cc:/scratch/f - | tar xO`]).stdout, 's\n');
      // what is mounted is not the container's own
      t.is(
        ok(t, user, 'diff', 'cc')
          .split('\n')
          .filter((line) => /vol|bind|scratch|ro\//.test(line) && !/^A \/(vol|bind|ro|scratch)$/.test(line))
          .join(),
        '',
      );
      t.false(user.run(['sh', '-c', `${HUSK} export cc | tar t`]).stdout.includes('vol/f'));
      ok(t, user, 'kill', 'cc');
    }
  }
  t.is(ok(t, user, 'run', '--rm', '--network', 'none', '-v', 'vol:/v', 'base', 'ls', '/v'), 'f\nrunning\nstopped');
});

built('one after another: a copy of a stopped container, its start and its removal wait for each other', async (t) => {
  const user = userWithBase(t);
  // it runs until it is told: a copy into a container that ends meanwhile may fail, and says so
  ok(
    t,
    user,
    'create',
    '--name',
    'cc',
    '--network',
    'none',
    'base',
    'sh',
    '-c',
    'until [ -e /end ]; do sleep 0.1; done',
  );
  user.run(['sh', '-c', 'head -c 30000000 /dev/zero >tmp/big']);
  const ends = (...args: string[]) =>
    new Promise<number | null>((resolve) => user.start([HUSK, ...args], { stdio: 'ignore' }).once('exit', resolve));
  t.deepEqual(
    await Promise.all([
      ends('cp', 'tmp/big', 'cc:/big'),
      ends('cp', 'tmp/big', 'cc:/big2'),
      ends('diff', 'cc'),
      ends('start', 'cc'),
    ]),
    [0, 0, 0, 0],
  );
  ok(t, user, 'exec', 'cc', 'touch', '/end');
  ok(t, user, 'wait', 'cc');
  t.deepEqual(
    await Promise.all([ends('cp', 'cc:/big', 'tmp/again'), ends('rm', 'cc')]).then(([, removed]) => removed),
    0,
  );
  t.is(ok(t, user, 'ps', '-aq'), '');
});

built(
  'commit: whiteouts and opaque folders, history, every instruction; the image runs, is saved and loaded elsewhere',
  (t) => {
    const user = userWithBase(t);
    ok(
      t,
      user,
      'run',
      '--name',
      'one',
      '--network',
      'none',
      'base',
      'sh',
      '-c',
      'mkdir -p /a/b /e; echo 1 >/a/b/f; echo 1 >/e/old; rm /etc/group',
    );
    const first = ok(t, user, 'commit', '-a', 'An Author', '-m', 'first', 'one', 'made:1');
    t.regex(first, /^sha256:[0-9a-f]{64}$/);
    ok(
      t,
      user,
      'run',
      '--name',
      'two',
      '--network',
      'none',
      'made:1',
      'sh',
      '-c',
      'rm -r /a; mkdir /a; echo 2 >/a/new; rm /e/old; ln /a/new /a/hard; mkfifo /a/fifo; chmod 2750 /e; chown 3:4 /e',
    );
    t.is(
      ok(t, user, 'diff', 'two'),
      'C /a\nA /a/fifo\nA /a/hard\nA /a/new\nD /a/b\nC /e\nD /e/old'
        .split('\n')
        .sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1))
        .join('\n'),
    );
    ok(
      t,
      user,
      'commit',
      '-c',
      'CMD ["sh","-c","find /a /e | sort; cat /a/hard; echo $X; pwd; stat -c %a:%u:%g /e"]',
      '-c',
      'ENV X=y',
      '-c',
      'WORKDIR /e',
      '-c',
      'LABEL k=v',
      '-c',
      'ONBUILD RUN x',
      '-c',
      'HEALTHCHECK NONE',
      '-c',
      'STOPSIGNAL SIGINT',
      '-c',
      'EXPOSE 80',
      '-c',
      'VOLUME /data',
      '-c',
      'USER 0',
      'two',
      'made:2',
    );
    const expected = '/a\n/a/fifo\n/a/hard\n/a/new\n/e\n2\ny\n/e\n2750:3:4\n';
    t.is(user.husk('run', '--rm', '--network', 'none', 'made:2').stdout, expected);
    t.is(
      ok(t, user, 'history', '--format', '{{.Comment}}', 'made:2'),
      '\nfirst\nImported from -'.trim(),
      'bottom last',
    );
    t.is(ok(t, user, 'image', 'inspect', '-f', '{{.Author}} {{len .RootFS.Layers}}', 'made:1'), 'An Author 2');
    t.is(
      ok(
        t,
        user,
        'image',
        'inspect',
        '-f',
        '{{json .Config.OnBuild}} {{json .Config.Labels}} {{.Config.StopSignal}}',
        'made:2',
      ),
      '["RUN x"] {"k":"v"} SIGINT',
    );
    ok(t, user, 'save', '-o', 'tmp/made.tar', 'made:2');
    ok(t, user, '--data-root', join(user.home, 'data/other'), 'load', '-i', 'tmp/made.tar');
    t.is(
      user.husk('--data-root', join(user.home, 'data/other'), 'run', '--rm', '--network', 'none', 'made:2').stdout,
      expected,
    );
    if (missingImageTools() === undefined) {
      const { stdout, stderr } = spawnSync(
        'skopeo',
        ['inspect', '--config', `docker-archive:${join(user.home, 'tmp/made.tar')}`],
        { encoding: 'utf8' },
      );
      const image = JSON.parse(stdout || '{}') as {
        config: { Cmd: string[]; ExposedPorts: object };
        history: { empty_layer?: boolean }[];
        rootfs: { diff_ids: string[] };
      };
      t.is(image.rootfs?.diff_ids.length, 3, stderr);
      t.deepEqual(image.config.ExposedPorts, { '80/tcp': {} });
      t.is(image.history.length, 3);
    }
    // nothing changed: no layer, as in Docker
    ok(t, user, 'create', '--name', 'three', 'made:2', 'true');
    ok(t, user, 'commit', 'three', 'made:3');
    t.is(ok(t, user, 'image', 'inspect', '-f', '{{len .RootFS.Layers}}', 'made:3'), '3');
    refused(t, user, ['commit', '-c', 'RUN x', 'three'], /RUN is not a valid change command/);
    refused(t, user, ['commit', 'three', 'Bad:Ref'], /invalid reference format/);
    refused(t, user, ['commit', 'none'], /^Error: No such container: none\n/);
  },
);

built('a copy that is given up leaves nothing behind, and the container free', async (t) => {
  const user = userWithBase(t);
  ok(t, user, 'create', '--name', 'cc', '--network', 'none', 'base', 'true');
  user.run(['sh', '-c', 'head -c 80000000 /dev/zero >tmp/big']);
  const child = user.start([HUSK, 'cp', 'tmp/big', 'cc:/big'], { stdio: 'ignore' });
  await new Promise((resolve) => setTimeout(resolve, 700));
  child.kill('SIGKILL');
  t.is(ok(t, user, 'start', 'cc'), 'cc');
  ok(t, user, 'rm', '-f', 'cc');
  mkdirSync(join(user.home, 'tmp'), { recursive: true });
  t.deepEqual(readdirSync(join(user.home, 'data/husk/containers')), []);
});

built('what is said, and what is told to readers of events', (t) => {
  const user = userWithBase(t);
  ok(
    t,
    user,
    'run',
    '--name',
    'cc',
    '--network',
    'none',
    'base',
    'sh',
    '-c',
    'ln -s /etc/passwd /l; ln -s /nowhere/at/all /broken; echo hi >/f',
  );
  const since = new Date().toISOString();
  const says = (args: string[]) => user.husk(...args).stderr;
  t.is(says(['cp', 'cc:/none', '.']), 'Error: Could not find the file /none in container cc\n');
  t.is(says(['cp', 'none:/x', '.']), 'Error: No such container: none\n');
  t.is(says(['cp', 'cc:/f', 'tmp/f']), '');
  t.is(
    says(['cp', '-q=false', 'cc:/f', 'tmp/f']),
    `Successfully copied 2.05kB to ${user.home}/tmp/f\n`.replace('2.05kB', '3.07kB'),
  );
  ok(t, user, 'cp', 'cc:/l', 'tmp/l');
  t.is(readlinkSync(join(user.home, 'tmp/l')), '/etc/passwd');
  ok(t, user, 'cp', '-L', 'cc:/l', 'tmp/followed');
  t.true(lstatSync(join(user.home, 'tmp/followed')).isFile());
  t.not(readFileSync(join(user.home, 'tmp/followed'), 'utf8'), readFileSync('/etc/passwd', 'utf8'));
  t.is(says(['cp', '-L', 'cc:/broken', 'tmp/b']), 'Error: Could not find the file /broken in container cc\n');
  ok(t, user, 'cp', 'tmp/f', 'cc:/new');
  ok(t, user, 'export', '-o', 'tmp/e.tar', 'cc');
  ok(t, user, 'commit', '-m', 'why', 'cc', 'made');
  const events = ok(
    t,
    user,
    'events',
    '--since',
    since,
    '--until',
    '0s',
    '--filter',
    'type=container',
    '--format',
    '{{.Action}}',
  ).split('\n');
  t.deepEqual(
    events.filter((action) => action !== 'create'),
    ['archive-path', 'archive-path', 'archive-path', 'archive-path', 'extract-to-dir', 'export', 'commit'],
  );
});
