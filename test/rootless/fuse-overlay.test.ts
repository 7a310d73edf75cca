/** Containers on fuse-overlayfs: chosen by HUSK_OVERLAY here, for this kernel's own overlay works. */
import test from 'ava';
import { overlayKind } from '../../src/rootless/fuse-overlay.ts';
import { findProgram } from '../../src/rootless/programs.ts';
import { AS_ROOT, asUser, asUserWithDevices } from './containers.ts';

const withFuse = AS_ROOT && findProgram('fuse-overlayfs', '/usr/bin') ? test : test.skip;

const CODE = `
  process.env.HUSK_OVERLAY = 'fuse';
  const mine = () => fs.readdirSync('/proc').filter((pid) => { try { return /^\\d+$/.test(pid) && fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8').includes(resolve('.') + '/c1/merged'); } catch { return false; } }).length;
  fs.mkdirSync('bound'); fs.writeFileSync('bound/f', 'bound');
  const change = (spec) => ({ ...spec, mounts: [...spec.mounts, { destination: '/data', type: 'bind', source: resolve('bound'), options: ['rbind', 'rprivate'] }] });
  const { out, err, exit } = await sh('echo x > /f; rm /etc/group; chown 33:33 /f; stat -c %u /f; cat /data/f; echo; grep " / / " /proc/self/mountinfo | grep -o fuse.fuse-overlayfs; hostname; id -u; exit 3', { change });
  console.log(JSON.stringify([out, err, exit]), fs.existsSync('c1/upper/f'), mine());
`;
const EXPECTED = '["33\\nbound\\nfuse.fuse-overlayfs\\nbox\\n0\\n","",{"code":3}] true 0\n';

withFuse('images that are mounted into a container on fuse-overlayfs', (t) => {
  const { stdout, stderr } = asUserWithDevices(`
    process.env.HUSK_OVERLAY = 'fuse';
    const layer = (name, entries) => { fs.mkdirSync(name + '/d', { recursive: true }); for (const [path, text] of Object.entries(entries)) fs.writeFileSync(join(name, path), text); return resolve(name); };
    const images = [
      { id: 'sha256:aa', kind: 'overlay', lower: [layer('a1', { 'd/f': 'upper' }), layer('a0', { 'd/f': 'lower', 'd/g': 'low' })] },
      { id: 'sha256:bb', kind: 'overlay', lower: [layer('b1', { 'h': 'other' }), layer('b0', {})] },
      { id: 'sha256:cc', kind: 'overlay', lower: [layer('c0', { 'h': 'single' })] },
    ];
    fs.symlinkSync('/etc', 'b0/out');
    const at = (destination, source, subpath) => ({ destination, type: 'image', source, subpath, options: ['ro', 'rprivate'] });
    const change = (...mounts) => (spec) => ({ ...spec, mounts: [...spec.mounts, ...mounts] });
    const { out, err, exit } = await sh('cat /a/f /a/g /b/h /c/h; touch /a/x; touch /b/x; touch /c/x', { images, change: change(at('/a', 'sha256:aa', 'd'), at('/b', 'sha256:bb'), at('/c', 'sha256:cc')) });
    console.log(out, err.match(/Read-only file system/g)?.length, exit.code);
    await sh('true', { images, change: change(at('/a', 'sha256:bb', 'out')) }).catch((error) => console.log(error.message.match(/cannot mount .*image/)[0]));
    await within(() => spawnSync('pgrep', ['-f', resolve('.') + '/c[12]/']).status === 1);
    console.log(spawnSync('pgrep', ['-f', resolve('.') + '/c[12]/']).status);
  `);
  t.is(stderr, '');
  t.is(stdout, 'upperlowothersingle 3 1\ncannot mount subpath out of image bb: it leads out of the image\n1\n');
});

withFuse('a container on fuse-overlayfs (user)', (t) => {
  const { stdout, stderr } = asUserWithDevices(CODE);
  t.is(stderr, '');
  t.is(stdout, EXPECTED);
});

test('no fuse-overlayfs, or one that cannot mount: one line with the fix', (t) => {
  const { stdout } = asUser(`
    process.env.HUSK_OVERLAY = 'fuse';
    const { mountFuseOverlay } = await load('rootless/fuse-overlay.ts'); const { idMaps } = await load('rootless/idmap.ts');
    fs.mkdirSync('bin'); fs.writeFileSync('bin/fuse-overlayfs', '#!/bin/sh\\necho fuse: device not found >&2; exit 1\\n'); fs.chmodSync('bin/fuse-overlayfs', 0o755);
    process.env.PATH = resolve('bin') + ':' + process.env.PATH;
    await run(['true']).catch((error) => console.log(error.message, '|', error.fix));
  `);
  t.is(stdout, "cannot mount the container's root with fuse-overlayfs: fuse: device not found | see husk doctor\n");
});

test('which overlay is chosen', (t) => {
  t.is(overlayKind('/var/tmp', { HUSK_OVERLAY: 'fuse' }), 'fuse');
  t.is(overlayKind('/proc', { HUSK_OVERLAY: 'kernel' }), 'kernel');
  t.is(overlayKind('/var/tmp/not/made/yet', {}), overlayKind('/var/tmp', {}));
});
