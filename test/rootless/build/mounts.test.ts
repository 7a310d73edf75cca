/** Mounts of RUN steps, and that nothing of them is in the layer. */
import { both } from './steps.ts';

both(
  'caches last, with the mode and owner that are asked for; nothing of them is in the layer',
  `
  fs.mkdirSync(p.dataRoot + '/build-cache-mounts', { mode: 0o711 });
  const folder = p.dataRoot + '/build-cache-mounts/one'; fs.mkdirSync(folder, { mode: 0o711 });
  if (process.getuid() === 0) fs.chownSync(folder, 1000000000, 1000000000);
  const mount = { type: 'cache', target: '/var/cache/x', folder, readOnly: false, mode: 0o750, uid: 1000, gid: 7 };
  const first = await step('stat -c "%a %u %g" /var/cache/x; echo kept >/var/cache/x/f', { mounts: [mount] });
  console.log(first.all, '-', layerOf(first).size);
  const next = await step('cat /var/cache/x/f; stat -c "%a %u %g" /var/cache/x; echo x >/var/cache/other', { mounts: [{ ...mount, mode: 0o777, uid: 0 }] });
  console.log(next.all.replaceAll('\\n', ' '), '-', listOf(next));
  console.log((await step('echo x >/var/cache/x/g; cat /var/cache/x/f', { mounts: [{ ...mount, readOnly: true }] })).all);
`,
  `750 1000 7 - 1024
kept 750 1000 7 - var/ var/cache/ var/cache/other
sh: can't create /var/cache/x/g: Read-only file system
kept
`,
);

both(
  'a path below a cache does not lead out of it, whatever a step has put there',
  `
  const folder = p.dataRoot + '/cache'; fs.mkdirSync(folder, { mode: 0o711 });
  if (process.getuid() === 0) fs.chownSync(folder, 1000000000, 1000000000);
  const mount = { type: 'cache', target: '/c', folder, readOnly: false, mode: 0o755, uid: 0, gid: 0 };
  await step('ln -s / /c/root; ln -s ../.. /c/up; mkdir -p /c/a/b; echo in >/c/a/b/f; ln -s a /c/same', { mounts: [mount] });
  for (const source of ['root', 'up', 'root/etc', 'a/../../..']) console.log((await failed(step('ls /c', { mounts: [{ ...mount, source }] }))).replace(/.*: (cannot mount subpath \\S+ of).*: (it leads .*)/, '$1 $2'));
  console.log((await step('cat /c/f', { mounts: [{ ...mount, source: 'a/b' }] })).all);
  console.log((await step('cat /c/b/f', { mounts: [{ ...mount, source: 'same' }] })).all);
`,
  `cannot mount subpath root of it leads out of the volume: unknown
cannot mount subpath up of it leads out of the volume: unknown
cannot mount subpath root/etc of it leads out of the volume: unknown
cannot mount subpath a/../../.. of it leads out of the volume: unknown
in
in
`,
);

both(
  'folders of the host and trees of layers: read-only, or what is written there is thrown away',
  `
  fs.mkdirSync('context/sub', { recursive: true }); fs.writeFileSync('context/f', 'host\\n'); fs.writeFileSync('context/sub/g', 'below\\n');
  for (const name of ['context', 'context/sub']) fs.chmodSync(name, 0o755); chown('context');
  const host = { type: 'bind', target: '/src', from: { folder: resolve('context') }, readOnly: true };
  console.log((await step('cat /src/f /src/sub/g; echo x >/src/f', { mounts: [host] })).all.replaceAll('\\n', ' '));
  console.log((await step('cat /mnt/g', { mounts: [{ ...host, target: '/mnt', source: 'sub' }] })).all);
  console.log((await step('cat /f.txt', { mounts: [{ ...host, target: '/f.txt', source: 'sub/g' }] })).all);
  const stage = await step('mkdir /out; echo made >/out/f; echo y >/out/g');
  const from = { layers: [base, layerOf(stage)] };
  const layered = { type: 'bind', target: '/from', from, readOnly: true };
  console.log((await step('cat /from/out/f; ls /from/bin/sh; echo x >/from/out/f; rm /from/out/g', { mounts: [layered] })).all.replaceAll('\\n', ' '));
  const written = await step('echo x >/from/f; rm /from/g; ls /from; echo z >/src/f; cat /src/f', { mounts: [{ ...layered, source: 'out', readOnly: false }, { ...host, readOnly: false }] });
  console.log(written.all.replaceAll('\\n', ' '), layerOf(written).size, fs.readFileSync('context/f', 'utf8').trim());
  console.log((await step('cat /from/f /from/g', { mounts: [{ ...layered, source: 'out' }] })).all.replaceAll('\\n', ' '));
  console.log((await step('ls /from', { mounts: [{ ...layered, from: { layers: [layerOf(stage)] } }] })).all);
`,
  `host below sh: can't create /src/f: Read-only file system
below
below
made /from/bin/sh sh: can't create /from/out/f: Read-only file system rm: can't remove '/from/out/g': Read-only file system
f z 1024 host
made y
out
`,
);

both(
  'a secret is a file of memory alone, and a tmpfs has the size that is asked for',
  `
  const data = Buffer.from('MARKED-' + 'SECRET');
  const mounts = [{ type: 'secret', target: '/run/secrets/s', data, mode: 0o400, uid: 1000, gid: 5 }, { type: 'tmpfs', target: '/t', size: 65536 }];
  const made = await step('stat -c "%a %u %g" /run/secrets/s; cat /run/secrets/s >/dev/null; cat /run/secrets/s | wc -c; grep -c " /run/secrets/s tmpfs .*ro," /proc/mounts; echo x >/run/secrets/s; dd if=/dev/zero of=/t/x bs=1k count=100 2>&1 | grep -c "No space"; echo f >/run/f', { mounts });
  console.log(made.all.replaceAll('\\n', ' '), '-', listOf(made));
  console.log(spawnSync('grep', ['-rl', 'MARKED-SECRET', p.dataRoot], { encoding: 'utf8' }).stdout === '');
  console.log((await step('id -u; cat /run/secrets/s >/dev/null && echo read', { how: { user: 'ann' }, mounts })).all.replaceAll('\\n', ' '));
`,
  /^400 1000 5 13 1 sh: can't create \/run\/secrets\/s: Read-only file system 1 - run\/ run\/f\ntrue\n1000 read\n$/,
);

both(
  'a here-document that is a program',
  `
  let all = '';
  const made = await box.run({ layers: [base], operation: operation(['/dev/pipes/EOF', 'a'], { files: [{ name: 'EOF', data: '#!/bin/sh\\nexec 2>&1; echo "$0 $1"; echo x >>$0\\n' }] }), output: (chunk) => (all += chunk) });
  console.log(all.trim());
  console.log(made.exit.code);
`,
  "/dev/pipes/EOF a\n/dev/pipes/EOF: line 2: can't create /dev/pipes/EOF: Read-only file system\n1\n",
);

both(
  'mounts in mounts, over links, and over what the image has',
  `
  const linked = await step('mkdir -p /real/etc /var; ln -s /real/run /var/run; rm -rf /etc/hosts; ln -s /proc/self/root/tmp/evil /etc/link; ln -s ../../../../outside /up');
  const layers = [base, layerOf(linked)];
  const tmpfs = (target) => ({ type: 'tmpfs', target });
  const made = await step('echo x >/var/run/lock/x; echo y >/outside/y; ls -d /real/run/lock /outside; mount | grep -c "^tmpfs on /\\\\(real/run/lock\\\\|outside\\\\|a/b/c\\\\|a\\\\) "; echo z >/a/b/c/d', { layers, mounts: [tmpfs('/a/b/c'), tmpfs('/up'), tmpfs('/var/run/lock/'), tmpfs('/a')] });
  console.log(made.all.replaceAll('\\n', ' '), layerOf(made).size);
  fs.mkdirSync('odd'); fs.symlinkSync('tmp', 'odd/proc');
  console.log(/proc: openat2.*/.exec(await failed(step('true', { layers: [base, addLayer(tarOf('odd'))] })))?.[0] ?? 'started');
`,
  `/outside /real/run/lock 4 1024
proc: openat2: too many levels of symbolic links: unknown
`,
);
