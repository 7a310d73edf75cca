/**
 * `--mount type=image` as a person at a terminal sees it, in user namespaces: what is mounted, what keeps an image, and
 * a hostile one whose links lead out. What is the same in machines: test/flags/cases.ts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxLayout, busyboxTar, missingImageTools, startRegistry } from '../../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, rootPrefix, type TestUser } from '../../fixtures/user.ts';

const built = existsSync(join(ROOT, 'dist/husk.cjs'));
const serial = built ? test.serial : test.serial.skip;
let user: TestUser;

/** in hack/ what a hostile image would have */
const TREE = [
  'mkdir -p t/data/sub t/hack/in',
  'echo of tools >t/data/f; echo deep >t/data/sub/deep',
  'ln -s ../data t/hack/good; ln -s good/sub t/hack/twice; ln -s ../../tools-secret t/hack/up; ln -s /etc t/hack/absolute; ln -s absolute t/hack/chain; ln -s loop t/hack/loop',
  'ln -s /proc/self/root t/hack/magic; ln -s /proc/1/root/etc t/hack/magic-deep; ln -s ../../../../../../../../../../../../etc/passwd t/hack/file',
  'tar -C t -cf tools.tar --owner=0 --group=0 .',
].join(' && ');

test.before(() => {
  if (!built) return;
  user = ordinaryUser();
  writeFileSync(join(user.home, 'box.tar'), readFileSync(busyboxTar()), { mode: 0o644 });
  user.run(['sh', '-c', TREE]);
  for (const [file, name] of [
    ['box.tar', 'box'],
    ['tools.tar', 'tools'],
  ]) {
    const { status, stderr } = user.husk('import', '--change', 'CMD sh', file!, name!);
    if (status !== 0) throw new Error(stderr);
  }
});
test.after.always(() => {
  if (!built) return;
  const left = user.husk('ps', '-aq').stdout.split('\n').filter(Boolean);
  if (left.length > 0) user.husk('rm', '-f', ...left);
  user[Symbol.dispose]();
});

const FLAGS = ['--isolation=userns', '--network', 'none'];
const run = (flags: string[], script: string) =>
  user.husk('run', '--rm', ...FLAGS, ...flags, 'box', 'sh', '-c', script);
const mount = (text: string) => ['--mount', `type=image,${text}`];

/** flags → what the script prints (both streams), and its exit status */
const cases: [title: string, flags: string[], script: string, printed: string | RegExp, status?: number][] = [
  ['all of an image', mount('source=tools,target=/x'), 'cat /x/data/f; ls /x', 'of tools\ndata\nhack\n'],
  ['by its id', ['--mount', 'type=image,src=TOOLS,dst=/x'], 'cat /x/data/f', 'of tools\n'],
  [
    'readonly=false changes nothing',
    mount('source=tools,target=/x,readonly=false'),
    'touch /x/y',
    /^touch: \/x\/y: Read-only file system\n$/,
    1,
  ],
  ['an empty image-subpath is none', mount('source=tools,target=/x,image-subpath='), 'ls /x', 'data\nhack\n'],
  ['a folder of one', mount('source=tools,target=/x,image-subpath=data/sub'), 'ls /x', 'deep\n'],
  [
    'a file of one, over a file',
    mount('source=tools,target=/etc/passwd,image-subpath=data/f'),
    'cat /etc/passwd',
    'of tools\n',
  ],
  ['by a link that stays inside', mount('source=tools,target=/x,image-subpath=hack/good/f'), 'cat /x', 'of tools\n'],
  ['by a link to a link', mount('source=tools,target=/x,image-subpath=hack/twice'), 'ls /x', 'deep\n'],
  [
    "twice, and the container's own beside it",
    [
      ...mount('source=tools,target=/x'),
      ...mount('source=tools,target=/y,image-subpath=data'),
      ...mount('source=box,target=/z'),
    ],
    'ls /y; /z/bin/busybox cat /x/data/f',
    'f\nsub\nof tools\n',
  ],
  [
    'below a read-only root',
    ['--read-only', ...mount('source=tools,target=/new/place')],
    'ls /new/place',
    'data\nhack\n',
  ],
  [
    'a volume within it',
    [...mount('source=tools,target=/x'), '-v', 'v1:/x/data'],
    'ls -A /x/data; touch /x/data/ok && echo ok',
    'ok\n',
  ],
  [
    'a place within it that it has not',
    [...mount('source=tools,target=/x'), '-v', 'v1:/x/none'],
    'true',
    /cannot mount \/x\/none: .*read-only file system/,
    125,
  ],
  [
    'a folder over a file',
    mount('source=tools,target=/etc/passwd'),
    'true',
    /error mounting "image [0-9a-f]{12}" to rootfs at "\/etc\/passwd": not a directory/,
    125,
  ],
  [
    'with every capability it is read-only',
    ['--privileged', ...mount('source=tools,target=/x')],
    'mount -o remount,rw /x; touch /x/y',
    /Read-only file system\ntouch: \/x\/y: Read-only file system\n$/,
    1,
  ],
  [
    "with the caller's own ids",
    ['--userns', 'keep-id', '-u', '0', ...mount('source=tools,target=/x')],
    'stat -c %u:%g /x/data /x/data/f',
    '0:0\n0:0\n',
  ],
  // — a hostile image: nothing of the host, nothing beside the image's own tree —
  [
    'a link up and out',
    mount('source=tools,target=/x,image-subpath=hack/up'),
    'ls /x',
    /it leads out of the image/,
    125,
  ],
  [
    'an absolute link',
    mount('source=tools,target=/x,image-subpath=hack/absolute'),
    'ls /x',
    /cannot mount subpath hack\/absolute of image [0-9a-f]{12}: it leads out of the image/,
    125,
  ],
  [
    'a path by an absolute link',
    mount('source=tools,target=/x,image-subpath=hack/absolute/passwd'),
    'cat /x',
    /it leads out of the image/,
    125,
  ],
  [
    'a link to such a link',
    mount('source=tools,target=/x,image-subpath=hack/chain'),
    'ls /x',
    /it leads out of the image/,
    125,
  ],
  [
    'a link to a file of the host',
    mount('source=tools,target=/x,image-subpath=hack/file'),
    'cat /x',
    /it leads out of the image/,
    125,
  ],
  [
    'a link to a link without end',
    mount('source=tools,target=/x,image-subpath=hack/loop'),
    'ls /x',
    /it leads out of the image/,
    125,
  ],
  ['a magic link', mount('source=tools,target=/x,image-subpath=hack/magic'), 'ls /x', /it leads out of the image/, 125],
  [
    'a path by a magic link',
    mount('source=tools,target=/x,image-subpath=hack/magic-deep'),
    'ls /x',
    /it leads out of the image/,
    125,
  ],
  [
    'its links lead within the container, as any do',
    mount('source=tools,target=/x'),
    'cat /x/hack/absolute/hostname >/dev/null && echo the container; head -1 /x/hack/file | cut -d: -f1',
    'the container\nroot\n',
  ],
  // — refused before there is a container —
  [
    'dots',
    mount('source=tools,target=/x,image-subpath=../tools'),
    'true',
    /^invalid mount config for type "image": subpath must be a relative path within the volume\n/,
    125,
  ],
  [
    'dots behind a folder',
    mount('source=tools,target=/x,image-subpath=data/../../x'),
    'true',
    /subpath must be a relative path within the volume/,
    125,
  ],
  [
    'an absolute path',
    mount('source=tools,target=/x,image-subpath=/data'),
    'true',
    /subpath must be a relative path within the volume/,
    125,
  ],
  [
    'a NUL byte is no argument, a path without end is refused',
    mount(`source=tools,target=/x,image-subpath=${'a/'.repeat(3000)}`),
    'true',
    /subpath must be a relative path within the volume/,
    125,
  ],
  ['an image that is no reference', mount('source=./tools,target=/x'), 'true', /invalid reference format/, 125],
  [
    'an image that is not there, --pull never',
    ['--pull', 'never', ...mount('source=none,target=/x')],
    'true',
    /^No such image: none:latest\n/,
    125,
  ],
  [
    'the same place twice',
    [...mount('source=tools,target=/x'), '-v', 'v1:/x'],
    'true',
    /Duplicate mount point: \/x/,
    125,
  ],
];
for (const [title, flags, script, printed, status = 0] of cases)
  serial(title, (t) => {
    const id = flags.some((flag) => flag.includes('TOOLS'))
      ? user.husk('images', '-q', '--no-trunc', 'tools').stdout.trim()
      : '';
    const result = run(
      flags.map((flag) => flag.replace('TOOLS', id)),
      script,
    );
    const text = result.stdout + result.stderr.replace(/^Error: /m, '');
    if (typeof printed === 'string') t.is(text, printed);
    else t.regex(text, printed);
    t.is(result.status, status, text);
  });

serial('layers of an image as its containers see them: what an upper one has deleted is not there', (t) => {
  t.is(
    user.husk(
      'run',
      '--name',
      'two',
      ...FLAGS,
      'box',
      'sh',
      '-c',
      'rm -r /home /etc/group; mkdir /home; echo second >/home/top',
    ).status,
    0,
  );
  t.is(user.husk('commit', 'two', 'layered').status, 0);
  user.husk('rm', 'two');
  t.is(
    run(
      mount('source=layered,target=/x'),
      'ls -A /x/home; cat /x/home/top; test -e /x/etc/group || echo gone; ls /x/bin | grep -c "^busybox$"',
    ).stdout,
    'top\nsecond\ngone\n1\n',
  );
  // Attack: a layer's whiteouts, or attributes of overlay's own, are told to whoever has it mounted
  t.is(run(mount('source=layered,target=/x'), 'find /x -type c | wc -l').stdout, '0\n');
});

serial(
  'the container keeps its image: rmi says so, prune leaves it, a forced rmi takes the name alone; then it goes',
  (t) => {
    t.is(user.husk('import', 'tools.tar', 'kept').status, 0);
    const { stdout } = user.husk(
      'create',
      '--name',
      'keeper',
      ...FLAGS,
      ...mount('source=kept,target=/x,image-subpath=data'),
      'box',
      'cat',
      '/x/f',
    );
    const container = stdout.slice(0, 12);
    const image = user.husk('images', '-q', 'kept').stdout.trim();
    const users = `container ${container} is using its referenced image ${image}`;
    t.true(
      user
        .husk('rmi', 'kept')
        .stderr.includes(`conflict: unable to remove repository reference "kept" (must force) - ${users}`),
    );
    t.regex(
      user.husk('rmi', image).stderr,
      new RegExp(
        `conflict: unable to delete ${image} \\(must be forced\\) - image is being used by stopped container ${container}`,
      ),
    );
    user.husk('image', 'prune', '-a', '-f');
    t.is(user.husk('images', '-q', 'kept').stdout.trim(), image);
    t.is(user.husk('rmi', '-f', 'kept').stdout, 'Untagged: kept:latest\n');
    user.husk('image', 'prune', '-f');
    t.is(user.husk('start', '-a', 'keeper').stdout, 'of tools\n');
    t.is(user.husk('system', 'check').stdout, 'nothing is damaged\n');
    t.is(user.husk('rm', 'keeper').status, 0);
    user.husk('image', 'prune', '-f');
    t.false(user.husk('images', '-aq').stdout.split('\n').includes(image));
    // the prune above took all that nothing used
    for (const [file, name] of [
      ['box.tar', 'box'],
      ['tools.tar', 'tools'],
    ])
      user.husk('import', '--change', 'CMD sh', file!, name!);
  },
);

serial('a volume of the same name is not in use by it', (t) => {
  t.is(user.husk('volume', 'create', 'tools').status, 0);
  t.is(user.husk('create', '--name', 'alike', ...FLAGS, ...mount('source=tools,target=/x'), 'box').status, 0);
  t.is(user.husk('volume', 'rm', 'tools').status, 0);
  user.husk('rm', 'alike');
});

serial('inspect, ps and their filters, as Docker has them', (t) => {
  t.is(
    user.husk('create', '--name', 'shown', ...FLAGS, ...mount('source=tools,target=/x,image-subpath=data'), 'box')
      .status,
    0,
  );
  const [{ Mounts: mounts, HostConfig: host, Id: id }] = JSON.parse(user.husk('inspect', 'shown').stdout) as [
    { Mounts: { Source: string }[]; HostConfig: { Mounts: object; Binds: null }; Id: string },
  ];
  t.regex(mounts[0]!.Source, new RegExp(`/containers/${id}/images/[0-9a-f]{64}$`));
  t.deepEqual(mounts, [
    {
      Type: 'image',
      Source: mounts[0]!.Source,
      Name: 'tools',
      Destination: '/x',
      Mode: '',
      RW: false,
      Propagation: 'rprivate',
    } as never,
  ]);
  t.deepEqual(host.Mounts, [{ Type: 'image', Source: 'tools', Target: '/x', ImageOptions: { Subpath: 'data' } }]);
  t.is(host.Binds, null);
  t.is(
    user.husk('ps', '-a', '--filter', 'volume=tools', '--format', '{{.Names}} {{.Mounts}} {{.LocalVolumes}}').stdout,
    'shown tools 0\n',
  );
  t.is(user.husk('ps', '-aq', '--filter', 'ancestor=tools').stdout, '');
  t.is(
    user.husk('inspect', '-f', '{{range .HostConfig.Mounts}}{{.ImageOptions.Subpath}}{{end}}', 'shown').stdout,
    'data\n',
  );
  user.husk('rm', 'shown');
});

serial('--volumes-from brings it along, and keeps the image too', (t) => {
  t.is(user.husk('import', 'tools.tar', 'lent').status, 0);
  t.is(user.husk('create', '--name', 'has', ...FLAGS, ...mount('source=lent,target=/x'), 'box').status, 0);
  t.is(
    user.husk('create', '--name', 'borrows', ...FLAGS, '--volumes-from', 'has', 'box', 'cat', '/x/data/f').status,
    0,
  );
  t.is(user.husk('rm', 'has').status, 0);
  t.regex(user.husk('rmi', 'lent').stderr, /\(must force\) - container [0-9a-f]{12} is using its referenced image/);
  t.is(user.husk('start', '-a', 'borrows').stdout, 'of tools\n');
  user.husk('rm', 'borrows');
  t.is(user.husk('rmi', 'lent').status, 0);
});

serial('cp of it, stopped and running; nothing goes in, and diff, commit and export leave it out', (t) => {
  t.is(
    user.husk(
      'create',
      '--name',
      'copied',
      ...FLAGS,
      ...mount('source=tools,target=/x'),
      ...mount('source=tools,target=/home/l,image-subpath=data/sub/deep'),
      'box',
      'sleep',
      '1000',
    ).status,
    0,
  );
  const look = () => {
    for (const [path, text] of [
      ['/x/data/f', 'of tools\n'],
      ['/home/l', 'deep\n'],
    ]) {
      t.is(user.husk('cp', `copied:${path}`, 'out').status, 0);
      t.is(readFileSync(join(user.home, 'out'), 'utf8'), text!);
    }
    const into = user.husk('cp', 'tools.tar', 'copied:/x/data/');
    t.regex(into.stderr, /mounted volume is marked read-only/);
    t.is(into.status, 1);
  };
  look();
  t.is(user.husk('start', 'copied').status, 0);
  look();
  t.regex(user.husk('diff', 'copied').stdout, /^A \/x$/m);
  t.notRegex(user.husk('diff', 'copied').stdout, /data/);
  user.run(['sh', '-c', `${HUSK} export copied >all.tar`]);
  t.notRegex(user.run(['tar', '-tf', 'all.tar']).stdout, /x\/data/);
  user.husk('rm', '-f', 'copied');
});

serial('nothing is left of a container: neither its folder nor a mount', (t) => {
  const folder = join(user.home, 'data/husk/containers');
  run(mount('source=tools,target=/x'), 'true');
  t.deepEqual(readdirSync(folder), []);
  t.false(readFileSync('/proc/self/mountinfo', 'utf8').includes(folder));
});

const tools = missingImageTools();
(built && tools === undefined ? test.serial : test.serial.skip)(
  `one that is missing is pulled, once, by the rules of --pull${tools === undefined ? '' : ` (${tools})`}`,
  async (t) => {
    await using registry = await startRegistry();
    const name = await registry.push(`oci:${busyboxLayout()}:latest`, 'tool:1');
    const { status, stdout, stderr } = run(
      [...mount(`source=${name},target=/x`), ...mount(`source=${name},target=/y,image-subpath=bin`)],
      'ls /y | grep -c "^busybox$"',
    );
    t.is(status, 0, stderr);
    t.is(stdout, '1\n');
    t.is(stderr.match(/Unable to find image '127\.0\.0\.1:\d+\/tool:1' locally/g)?.length, 1);
    t.is(run(mount(`source=${name},target=/x`), 'true').stderr, '');
    const missing = run(mount(`source=${registry.host}/none:1,target=/x`), 'true');
    t.is(missing.status, 125);
    t.regex(missing.stderr, /none/);
    t.is(user.husk('ps', '-aq').stdout, '', 'no container is left of it');
  },
);

const asRoot = rootPrefix();
(built && asRoot !== undefined ? test.serial : test.serial.skip)(
  `started by root, with a data root that is closed to everybody else${asRoot === undefined ? ' (needs root, or sudo without a password)' : ''}`,
  (t) => {
    const home = mkdtempSync('/var/tmp/husk-root-');
    const env = [
      'env',
      '-i',
      `PATH=${process.env['PATH']}`,
      `HOME=${home}`,
      `HUSK_DATA_ROOT=${home}/closed/data`,
      `XDG_RUNTIME_DIR=${home}/run`,
      `XDG_CONFIG_HOME=${home}`,
    ];
    const [program, ...rest] = [...asRoot!, ...env];
    const sh = (...args: string[]) => spawnSync(program!, [...rest, ...args], { encoding: 'utf8' });
    try {
      sh('mkdir', '-p', '-m', '700', `${home}/closed`, `${home}/run`);
      for (const [file, name] of [
        ['box.tar', 'box'],
        ['tools.tar', 'tools'],
      ])
        t.is(sh(HUSK, 'import', '--change', 'CMD sh', join(user.home, file!), name!).status, 0);
      const flags = [
        '--rm',
        ...FLAGS,
        ...mount('source=tools,target=/x'),
        ...mount('source=tools,target=/y,image-subpath=hack/good'),
      ];
      const { stdout, stderr } = sh(
        HUSK,
        'run',
        ...flags,
        'box',
        'sh',
        '-c',
        'cat /x/data/f /y/f; stat -c %u:%g /x/data; touch /x/y 2>&1',
      );
      t.is(stdout, 'of tools\nof tools\n0:0\ntouch: /x/y: Read-only file system\n', stderr);
      const out = sh(
        HUSK,
        'run',
        '--rm',
        ...FLAGS,
        ...mount('source=tools,target=/x,image-subpath=hack/absolute'),
        'box',
        'ls',
        '/x',
      );
      t.regex(out.stderr, /it leads out of the image/);
      t.is(sh(HUSK, 'create', '--name', 'files', ...FLAGS, ...mount('source=tools,target=/x'), 'box').status, 0);
      t.is(sh('sh', '-c', `${HUSK} cp files:/x/data/f - | tar -xO`).stdout, 'of tools\n');
      t.is(sh(HUSK, 'rm', 'files').status, 0);
    } finally {
      if (asRoot!.length === 0) rmSync(home, { recursive: true, force: true });
      else sh('rm', '-rf', home);
    }
  },
);
