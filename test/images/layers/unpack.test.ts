/**
 * Layers as folders, made in the user namespace of an ordinary user: compared with what GNU tar and umoci make of the
 * same archives there, mounted by overlayfs, and raced by several processes.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  statSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Layer } from '../../../src/images/store/contract.ts';
import { mappedIds } from '../../../src/images/layers/unpack-main.ts';
import { busyboxLayout, busyboxTar, debianTar, missingImageTools } from '../../fixtures/images.ts';
import { gnuLong, member, pax, type RawMember, tarball } from '../../fixtures/tar.ts';
import { ordinaryUser, ROOT, type TestUser } from '../../fixtures/user.ts';

const BUILT = existsSync(process.env['HUSK_INIT_PROGRAM'] ?? join(ROOT, 'dist/husk-init'));
const DATA = 'data/husk';

/** Puts a layer into the user's store, as a pull would. */
function addLayer(user: TestUser, tar: Buffer | string): Layer {
  const bytes = Buffer.isBuffer(tar) ? tar : undefined;
  const hex = createHash('sha256')
    .update(bytes ?? String(tar))
    .digest('hex');
  const folder = join(user.home, DATA, 'layers', hex);
  user.run(['mkdir', '-p', folder]);
  chmodSync(folder, 0o777);
  const target = join(folder, 'layer.tar');
  if (bytes) writeFileSync(target, bytes);
  else copyFileSync(String(tar), target);
  chmodSync(target, 0o644);
  return { diffId: `sha256:${hex}`, tar: target, size: statSync(target).size };
}

/** JavaScript as the user, with ensureUnpacked, the layers, and `inNamespace(shell)` giving a command's output. */
function script(user: TestUser, layers: Layer[], code: string): string[] {
  return [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    `
    const { ensureUnpacked } = await import(${JSON.stringify(join(ROOT, 'src/images/layers/unpack.ts'))});
    const { runInUserNamespace } = await import(${JSON.stringify(join(ROOT, 'src/rootless/namespace.ts'))});
    const { paths } = await import(${JSON.stringify(join(ROOT, 'src/paths.ts'))});
    const layers = ${JSON.stringify(layers)};
    const p = paths({ dataRoot: ${JSON.stringify(join(user.home, DATA))} });
    const inNamespace = async (shell) => {
      const launched = runInUserNamespace({ program: ['sh', '-ec', shell], stdout: 'pipe', mounts: true });
      let text = '';
      launched.stdout.setEncoding('latin1').on('data', (data) => (text += data));
      const ended = new Promise((resolve) => launched.stdout.once('close', resolve));
      await launched.started;
      const { code } = await launched.exited;
      await ended;
      return text + (code ? 'exit ' + code : '');
    };
    ${code}`,
  ];
}

function run(
  t: { is: (a: unknown, b: unknown, message?: string) => void },
  user: TestUser,
  layers: Layer[],
  code: string,
): string {
  const { stdout, stderr, status } = user.run(script(user, layers, code));
  t.is(stderr, '');
  t.is(status, 0);
  return stdout;
}

/** every attribute that both sides must agree about; folders' sizes are the file system's own */
const LIST = `find . -printf '%P|%y|%m|%U:%G|%T@|%n|%l\\n' | LC_ALL=C sort; find . -type f -size -200M -exec sha256sum {} + | LC_ALL=C sort -k2`;

const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
const MANY = tarball(
  { name: './', type: '5', mode: 0o755, mtime: 1_600_000_000 },
  { name: 'dir/', type: '5', mode: 0o2770, uid: 1000, gid: 50, mtime: 1_500_000_000 },
  { name: 'dir/setuid', mode: 0o6755, uid: 33, gid: 33, mtime: 1_400_000_000, body: 'suid' },
  { name: 'dir/hard', type: '1', link: 'dir/setuid' },
  { name: 'hard2', type: '1', link: 'dir/hard' },
  { name: 'closed/', type: '5', mode: 0, uid: 5, gid: 6 },
  { name: 'closed/inside', mode: 0, body: 'secret' },
  { name: 'sticky/', type: '5', mode: 0o1777 },
  { name: 'link', type: '2', link: '/etc/../nowhere', mtime: 1_300_000_000, uid: 7, gid: 8 },
  { name: 'hardlink-to-link', type: '1', link: 'link' },
  { name: 'fifo', type: '6', mode: 0o622, uid: 3, gid: 4 },
  pax([
    ['mtime', '1234567890.987654321'],
    ['SCHILY.xattr.user.test', 'a\0b'],
  ]),
  { name: 'precise', body: 'x' },
  pax([['SCHILY.xattr.security.capability', capability]]),
  { name: 'ping', mode: 0o755, body: 'elf' },
  { name: 'caf\xe9\xff\x01', body: 'latin' },
  gnuLong('L', `${'n'.repeat(250)}/`),
  { name: 'n/', type: '5', mode: 0o755 },
  gnuLong('L', `${'n'.repeat(250)}/${'m'.repeat(255)}`),
  { name: 'n', body: 'long' },
  { name: 'empty' },
  { name: ' ', body: 'blank' },
  { name: '-rf', body: 'dash' },
  pax([
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'sparse'],
    ['GNU.sparse.realsize', '1073741824'],
  ]),
  { name: 's', body: `${'2\n4096\n512\n1073741312\n512\n'.padEnd(512, '\0')}${'abcdefgh'.repeat(128)}` },
  { name: 'big', body: Buffer.alloc(3 << 20, 'big!') },
);

(BUILT ? test : test.skip)('a tree is what GNU tar makes in the same namespace', (t) => {
  using user = ordinaryUser();
  const layers = [addLayer(user, MANY), addLayer(user, debianTar())];
  const output = run(
    t,
    user,
    layers,
    `
    const trees = await ensureUnpacked(layers, p);
    for (const [index, layer] of layers.entries()) {
      const tree = trees[layers.length - 1 - index];
      await inNamespace('mkdir -p ref' + index + '; tar --xattrs --xattrs-include="*" --numeric-owner --exclude=./dev/\\\\* -xpf ' + layer.tar + ' -C ref' + index);
      const list = (folder) => inNamespace('cd ' + folder + '/; rm -rf dev/console; ' + ${JSON.stringify(LIST)});
      const [ours, theirs] = [(await list(tree)).split('\\n'), (await list('ref' + index)).split('\\n')];
      const differ = (line) => !/^dev[|/]/.test(line);
      console.log(JSON.stringify({ lines: ours.length, missing: theirs.filter((line) => differ(line) && !ours.includes(line)).slice(0, 20), extra: ours.filter((line) => differ(line) && !theirs.includes(line)).slice(0, 20) }));
    }
    console.log(await inNamespace('cd ' + trees[1] + '/; getcap ping; getfattr -n user.test --only-values precise | od -An -c; du -k sparse | cut -f1'));
    console.log(await inNamespace('rm -rf ref0 ref1; cd ' + trees[0] + '/; stat -c %F dev/null 2>&1 || true'));
  `,
  );
  const [many, debian, ...rest] = output.split('\n');
  t.deepEqual({ ...JSON.parse(many!), lines: 0 }, { lines: 0, missing: [], extra: [] });
  t.true(JSON.parse(many!).lines > 30);
  t.deepEqual({ ...JSON.parse(debian!), lines: 0 }, { lines: 0, missing: [], extra: [] });
  t.true(JSON.parse(debian!).lines > 10_000);
  t.regex(rest.join('\n'), /No such file/, 'devices are left out');
  t.regex(rest.join('\n'), /a\s+\\0\s+b/);
  t.true(
    rest.some((line) => /^\d+$/.test(line) && Number(line) <= 16),
    `sparse files stay sparse: ${rest.join(' ')}`,
  );
});

const LOWER = tarball(
  { name: 'a/', type: '5' },
  { name: 'a/gone', body: 'x' },
  { name: 'a/stays', body: 'x' },
  { name: 'b/old', body: 'x' },
  { name: 'c/d/e', body: 'x' },
  { name: 'f', body: 'lower' },
  { name: 'g/h', body: 'x' },
  { name: 'link', type: '2', link: 'a' },
);
const UPPER = tarball(
  { name: 'a/.wh.gone' },
  { name: 'b/', type: '5', mode: 0o700, uid: 9, gid: 9 },
  { name: 'b/.wh..wh..opq' },
  { name: 'b/new', body: 'y' },
  { name: 'c/.wh.d' },
  { name: 'f/', type: '5' },
  { name: 'f/file', body: 'y' },
  { name: '.wh.g' },
  { name: 'g/h2', body: 'y' },
  { name: 'link/', type: '5' },
);

(BUILT ? test : test.skip)('overlayfs sees whiteouts and opaque folders', (t) => {
  using user = ordinaryUser();
  const layers = [addLayer(user, LOWER), addLayer(user, UPPER)];
  const output = run(
    t,
    user,
    layers,
    `
    const trees = await ensureUnpacked(layers, p);
    console.log(trees.map((tree) => tree.replace(p.dataRoot, '')).join(' '));
    console.log(await inNamespace('mkdir m u w; mount -t overlay overlay -o userxattr,lowerdir=' + trees.join(':') + ',upperdir=u,workdir=w m; cd m; find . -mindepth 1 | sort'));
  `,
  );
  const [short, ...found] = output.trim().split('\n');
  // one more: the upper layer implies `a` and `c`, which the lower one describes
  t.regex(short!, /^(?:\/l\/[0-9a-f]{12} ?){3}$/);
  t.deepEqual(found, ['./a', './a/stays', './b', './b/new', './c', './f', './f/file', './g', './g/h2', './link']);
});

const UMOCI = missingImageTools();

(BUILT && !UMOCI ? test : test.skip)(
  `an image of several layers is what umoci makes of it${UMOCI ? ` (${UMOCI})` : ''}`,
  (t) => {
    using user = ordinaryUser();
    const folder = mkdtempSync(join(tmpdir(), 'husk-umoci-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const dir = (name: string, mode = 0o755): RawMember => ({
      name: `${name}/`,
      type: '5',
      mode,
      mtime: 1_600_000_000,
    });
    const extra = [
      tarball(
        dir('etc'),
        { name: 'etc/new', body: 'x' },
        { name: 'etc/.wh.group' },
        dir('opt', 0o2775),
        { name: 'opt/a', body: 'a', uid: 12, gid: 34, mode: 0o4711 },
        { name: 'opt/b', type: '1', link: 'opt/a' },
        dir('root/old'),
        { name: 'root/old/x', body: 'x' },
      ),
      tarball(
        dir('bin'),
        { name: 'bin/.wh.ls' },
        { name: 'bin/vi', type: '2', link: '/bin/busybox' },
        dir('root', 0o700),
        { name: 'root/.wh..wh..opq' },
        { name: 'root/only', body: 'y' },
        { name: '.wh.home' },
        dir('opt', 0o755),
        { name: 'opt/a', body: 'changed' },
      ),
      // parents that no member of this layer describes
      tarball(
        { name: 'opt/implied', body: 'x' },
        { name: 'tmp/implied', body: 'x' },
        { name: 'root/implied', body: 'x' },
      ),
    ];
    const files = extra.map((bytes, index) => {
      const path = join(folder, `${index}.tar`);
      writeFileSync(path, bytes);
      return path;
    });
    const layout = busyboxLayout({ extraLayers: files });
    execFileSync('cp', ['-r', layout, join(folder, 'oci')]);
    execFileSync('chmod', ['-R', 'a+rX', folder]);
    const layers = [addLayer(user, busyboxTar()), ...extra.map((bytes) => addLayer(user, bytes))];
    const output = run(
      t,
      user,
      layers,
      `
    const trees = await ensureUnpacked(layers, p);
    const list = ${JSON.stringify(LIST)};
    const ours = (await inNamespace('mkdir m u w; mount -t overlay overlay -o userxattr,lowerdir=' + trees.join(':') + ',upperdir=u,workdir=w m; cd m; ' + list)).split('\\n');
    const theirs = (await inNamespace('umoci unpack --image ${folder}/oci:latest bundle >&2 && cd bundle/rootfs && ' + list + '; cd ../..; rm -rf bundle')).split('\\n');
    // overlayfs counts hidden names as links too, and folders have its own times
    const plain = (lines) => lines.map((line) => line.split('|')).map((field) => field.length === 1 ? field[0] : [...field.slice(0, field[1] === 'd' ? 4 : 5), field[6]].join('|'));
    const [a, b] = [plain(ours), plain(theirs)];
    console.log(JSON.stringify({ lines: a.length, extra: a.filter((line) => !b.includes(line)).slice(0, 10), missing: b.filter((line) => !a.includes(line)).slice(0, 10) }));
  `,
    );
    const { lines, ...difference } = JSON.parse(output);
    t.deepEqual(difference, { extra: [], missing: [] });
    t.true(lines > 300);
  },
);

(BUILT ? test : test.skip)('attributes that steer overlayfs are never taken from a layer', (t) => {
  using user = ordinaryUser();
  const steering: [string, string][] = [
    'user.overlay.opaque',
    'user.overlay.redirect',
    'user.overlay.metacopy',
    'trusted.overlay.redirect',
    'user.fuseoverlayfs.opaque',
    'user.containers.override_stat',
  ].map((name) => [`SCHILY.xattr.${name}`, 'y']);
  const layers = [
    addLayer(user, tarball(pax([...steering, ['SCHILY.xattr.user.mine', 'y']]), { name: 'd/', type: '5' })),
  ];
  t.is(
    run(
      t,
      user,
      layers,
      `const [tree] = await ensureUnpacked(layers, p); console.log(await inNamespace('cd ' + tree + '; getfattr -m - d 2>&1 | grep -v "^#" | grep .'));`,
    ).trim(),
    'user.mine',
  );
});

(BUILT ? test : test.skip)(
  'several processes make a layer once, and a killed one leaves the work to the next',
  async (t) => {
    using user = ordinaryUser();
    const layers = [addLayer(user, debianTar()), addLayer(user, busyboxTar())];
    const command = script(user, layers, 'console.log((await ensureUnpacked(layers, p)).length);');
    const start = () => user.start(command, { stdio: ['ignore', 'pipe', 'inherit'] });
    const killed = start();
    await new Promise((resolve) => setTimeout(resolve, 450));
    killed.kill('SIGKILL');
    const outputs = await Promise.all(
      [1, 2, 3].map(async () => {
        const child = start();
        let text = '';
        child.stdout!.setEncoding('utf8').on('data', (data: string) => (text += data));
        const code = await new Promise((resolve) => child.once('close', resolve));
        return `${String(code)} ${text.trim()}`;
      }),
    );
    t.deepEqual(outputs, ['0 2', '0 2', '0 2']);
    for (const layer of layers)
      t.deepEqual(
        readdirSync(join(layer.tar, '..'))
          .filter((name) => !name.includes('partial') && !name.startsWith('parents-v1-'))
          .sort(),
        ['layer.tar', 'lock', 'tree-v1'],
      );
    t.is(
      readdirSync(join(layers[1]!.tar, '..')).filter((name) => name.startsWith('parents-v1-')).length,
      1,
      'one mark that the stack implies no folder',
    );
  },
);

(BUILT ? test : test.skip)('two layers with the same first digits get links of their own', (t) => {
  using user = ordinaryUser();
  const [layer] = [addLayer(user, LOWER)];
  const hex = layer.diffId.slice(7);
  const foreign = `../layers/${hex.slice(0, 12)}${'0'.repeat(52)}/tree-v1`;
  user.run(['mkdir', '-p', `${DATA}/l`, `${DATA}/layers/${hex.slice(0, 12)}${'0'.repeat(52)}/tree-v1`]);
  user.run(['ln', '-s', foreign, `${DATA}/l/${hex.slice(0, 12)}`]);
  const output = run(
    t,
    user,
    [layer],
    'console.log((await ensureUnpacked(layers, p))[0]); console.log((await ensureUnpacked(layers, p))[0]);',
  )
    .trim()
    .split('\n');
  t.is(output[0], join(user.home, DATA, 'l', hex.slice(0, 24)));
  t.is(output[1], output[0]);
  t.is(readlinkSync(join(user.home, DATA, 'l', hex.slice(0, 12))), foreign);
});

(BUILT ? test : test.skip)('an owner without a subordinate id is one line with the fix, and leaves nothing', (t) => {
  using user = ordinaryUser();
  const layer = addLayer(user, tarball(member({ name: 'a/b', uid: 2_000_000, gid: 5, body: 'x' })));
  const output = run(
    t,
    user,
    [layer],
    'try { await ensureUnpacked(layers, p); } catch (error) { console.log(error.kind, error.message, error.fix); }',
  );
  t.regex(
    output,
    /^unsupported cannot unpack "\/a\/b": its owner 2000000:5 has no subordinate id on this host give this user larger ranges/,
  );
  t.deepEqual(readdirSync(join(layer.tar, '..')).sort(), ['layer.tar', 'lock']);
});

(BUILT ? test : test.skip)('a layer that occurs twice is mounted once, and no layers are one empty folder', (t) => {
  using user = ordinaryUser();
  const [base, upper] = [addLayer(user, LOWER), addLayer(user, UPPER)];
  t.is(
    run(
      t,
      user,
      [base, upper, base],
      'console.log((await ensureUnpacked(layers, p)).map((link) => link.slice(-12)).filter((link) => layers.some(({ diffId }) => diffId.slice(7, 19) === link)).join(" "));',
    ).trim(),
    [base, upper].map(({ diffId }) => diffId.slice(7, 19)).join(' '),
  );
  t.is(
    run(
      t,
      user,
      [],
      'const folders = await ensureUnpacked(layers, p); console.log(folders.length, (await import("node:fs")).readdirSync(folders[0]).length);',
    ).trim(),
    '1 0',
  );
});

(BUILT ? test : test.skip)('a tree that cannot be renamed is an error of the unpacking, not of the process', (t) => {
  using user = ordinaryUser();
  const layer = addLayer(user, busyboxTar());
  const output = run(
    t,
    user,
    [layer],
    `
    const { existsSync, mkdirSync, readdirSync } = await import('node:fs');
    const folder = ${JSON.stringify(join(layer.tar, '..'))};
    // in its way as soon as the program works
    const watch = setInterval(() => readdirSync(folder).some((name) => name.includes('partial')) && mkdirSync(folder + '/tree-v1/in-the-way', { recursive: true }), 1);
    try { await ensureUnpacked(layers, p); } catch (error) { console.log(error.code); }
    clearInterval(watch);
    console.log(readdirSync(folder).sort().join(' '));
  `,
  );
  t.is(output, 'ENOTEMPTY\nlayer.tar lock tree-v1\n');
});

test('which ids are mapped', (t) => {
  const mapped = mappedIds(
    '         0       1001          1\n         1     100000      65536\n',
    '0 1001 1\n1 100000 10\n',
  );
  t.deepEqual(
    [
      [0, 0],
      [1, 10],
      [65536, 0],
      [65537, 0],
      [0, 11],
    ].map(([uid, gid]) => mapped(uid!, gid!)),
    [true, true, true, false, false],
  );
});
