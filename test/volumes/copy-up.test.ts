/**
 * A volume is being filled from an image while a container that has it mounted works against it: nothing of the host is
 * ever written to. In this data root (where a tree appears by a rename) and on another file system (where it is filled
 * in place).
 */
import test from 'ava';
import { AS_ROOT, asRoot, asUser } from '../rootless/containers.ts';

/** `attacker SHELL` runs until it has had its moment, as the container's root would */
const PRELUDE = `
  const { openVolumes } = await load('volumes/volumes.ts');
  const { openDatabase } = await load('state/database.ts');
  const { paths: computePaths } = await load('paths.ts');
  const paths = computePaths({ dataRoot: resolve('data') });
  const volumes = openVolumes({ database: openDatabase(paths.database), paths, inUse: () => ['a container that runs'] });
  const other = fs.mkdtempSync('/dev/shm/husk-copy-up-'); chown(other);
  const base = busybox('base');
  const fill = (folder, files) => { fs.mkdirSync(folder, { recursive: true }); for (let i = 0; i < files; i++) fs.writeFileSync(join(folder, 'f' + i), 'of the image'); };
  const places = { here: volumes.create({ name: 'here' }).mountpoint, there: volumes.create({ name: 'there', options: { type: 'none', o: 'bind', device: other } }).mountpoint };
  const mountOf = (name, options = [], destination = '/data') => ({ type: 'volume', name, source: places[name], destination, readonly: false, options });
  const attacker = (script, folder) => {
    const launched = runInUserNamespace({ program: ['/bin/busybox', 'sh', '-c', 'cd "$0"; echo ready; ' + script, folder], reach: { kept: [folder] }, stdout: 'pipe' });
    return { launched, ready: new Promise((done) => launched.stdout.once('data', done)), end: async () => { launched.signal(9); await launched.exited; } };
  };
  const owned = (path) => { const { uid, gid, mode } = fs.lstatSync(path); return [uid, gid, (mode & 0o7777).toString(8)].join(' '); };
  const mine = process.getuid() === 0 ? 1000000000 : process.getuid();
  process.on('exit', () => execFileSync('sh', ['-c', 'rm -rf "$0" 2>/dev/null || unshare --map-auto --map-root-user rm -rf "$0"', other]));
`;

function both(title: string, code: string, expected: string): void {
  for (const [who, run] of [
    ['user', asUser],
    ['root', asRoot],
  ] as const) {
    (who === 'root' && !AS_ROOT ? test.skip : test)(`${title} (${who})`, (t) => {
      const { stdout, stderr } = run(PRELUDE + code);
      t.is(stderr, '');
      t.is(stdout, expected);
    });
  }
}

both(
  'a folder becomes a link out while its files are copied: none of them lands there',
  `
  fill('base/data/sub', 2000); chown('base');
  for (const name of ['here', 'there']) {
    const victim = resolve('victim-' + name); fs.mkdirSync(victim); chown(victim);
    // as soon as there is something in the folder; a copy that is not in sight yet is waited for
    const { ready, end } = attacker('while :; do for f in sub/f?; do [ -e "$f" ] && mv sub gone && ln -s ' + victim + ' sub && echo swapped && exit; done; done', places[name]);
    await ready;
    const said = await volumes.populate([mountOf(name)], { lower: [base] }).then(() => '', (error) => error.message);
    await end();
    // what the copy says of a folder that was taken away is one line, or nothing when all was there
    console.log(name, fs.readdirSync(victim).length, said === '' || /^cannot copy the image's files into (here|there): .*(links are not followed|no such file)/.test(said) || said);
  }
`,
  'here 0 true\nthere 0 true\n',
);

both(
  'names that are put in the way become no way out, and what was written there stays',
  `
  fs.mkdirSync('base/data'); for (const name of ['a', 'b', 'c']) fs.writeFileSync('base/data/' + name, 'of the image'); fs.mkdirSync('base/data/d'); fs.writeFileSync('base/data/d/e', ''); chown('base');
  fs.writeFileSync('secret', 'secret', { mode: 0o600 }); chown('secret');
  const secret = resolve('secret');
  const { ready, end } = attacker('ln -s ' + secret + ' b; while :; do ln -s ' + secret + ' a 2>/dev/null; rm a; done', places.here);
  await ready;
  await volumes.populate([mountOf('here')], { lower: [base] });
  await end();
  console.log(fs.readFileSync(secret, 'utf8'), owned(secret) === mine + ' ' + mine + ' 600');
`,
  'secret true\n',
);

both(
  'U gives nothing of the host away while links and folders are exchanged',
  `
  fill('base/data', 1); chown('base');
  fs.mkdirSync('victim/deep', { recursive: true }); fs.writeFileSync('victim/deep/f', ''); chown('victim');
  const target = places.here; fs.mkdirSync(target + '/a'); for (let i = 0; i < 50; i++) fs.mkdirSync(target + '/a/' + i); fs.symlinkSync(resolve('victim'), target + '/l'); chown(target);
  const { ready, end } = attacker('while :; do mv a b; mv l a; mv a l; mv b a; done 2>/dev/null', target);
  await ready;
  for (let round = 0; round < 3; round++) await volumes.populate([mountOf('here', ['U'])], { lower: [base], user: '5:6' });
  await end();
  console.log(['victim', 'victim/deep', 'victim/deep/f'].every((path) => owned(path).startsWith(mine + ' ' + mine)), owned(target).startsWith(mine + ' '));
`,
  'true false\n',
);

both(
  'a subpath is filled when it is empty, a link within the volume followed, none out of it',
  `
  fill('base/data/sub', 2); fs.writeFileSync('base/data/hollow', Buffer.concat([Buffer.from('x'), Buffer.alloc(4 << 20), Buffer.from('y')])); chown('base');
  for (const folder of ['empty', 'full', 'real', 'out']) fs.mkdirSync(places.here + '/' + folder);
  fs.writeFileSync(places.here + '/full/own', ''); fs.symlinkSync('real', places.here + '/link'); fs.mkdirSync('outside'); fs.symlinkSync(resolve('outside'), places.here + '/absolute'); fs.symlinkSync('../../../../outside', places.here + '/up'); chown(places.here); chown('outside');
  const at = (subpath, ...more) => volumes.populate([mountOf('here', ['volume-subpath=' + subpath, ...more])], { lower: [base] });
  for (const subpath of ['empty', 'full', 'link', 'absolute', 'up', 'none', 'full/own']) await at(subpath);
  await at('out', 'volume-nocopy');
  for (const folder of ['empty', 'full', 'real', 'out']) console.log(folder, fs.readdirSync(places.here + '/' + folder).sort().join());
  console.log(fs.readdirSync('outside').length, fs.readFileSync(places.here + '/empty/hollow').equals(fs.readFileSync('base/data/hollow')), fs.statSync(places.here + '/empty/hollow').blocks < 4096, fs.readdirSync('data/tmp').length);
`,
  'empty hollow,sub\nfull own\nreal hollow,sub\nout \n0 true true 0\n',
);
