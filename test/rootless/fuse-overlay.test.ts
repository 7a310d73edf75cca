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
