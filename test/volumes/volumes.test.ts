/** Volumes on disk and in the database: as an ordinary user, and as root where the tests run as root. */
import test from 'ava';
import { AS_ROOT, asRoot, asUser } from '../rootless/containers.ts';

const PRELUDE = `
  const { openVolumes } = await load('volumes/volumes.ts');
  const { openDatabase } = await load('state/database.ts');
  const { paths: computePaths } = await load('paths.ts');
  const paths = computePaths({ dataRoot: resolve('data') });
  const database = openDatabase(paths.database);
  const users = new Map();
  const volumes = openVolumes({ database, paths, inUse: (name) => users.get(name) ?? [] });
  const refused = async (body) => { try { await body(); console.log('not refused'); } catch (error) { console.log(error.kind + ': ' + error.message.replace(resolve('.'), 'HOME')); } };
  const owned = (path) => { const { uid, gid, mode } = fs.lstatSync(path); return [uid, gid, (mode & 0o7777).toString(8)].join(' '); };
  const map = (await load('rootless/idmap.ts')).idMaps().uid;
  const id = (n) => { const { containerID, hostID } = map.find(({ containerID, size }) => n >= containerID && n < containerID + size); return hostID + n - containerID; };
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
  'created, listed, inspected, removed',
  `
  const one = volumes.create({ name: 'one', labels: { a: 'b' } });
  console.log(one.mountpoint === resolve('data/volumes/one/_data'), owned(one.mountpoint) === id(0) + ' ' + id(0) + ' 755');
  volumes.create({ name: 'one' }); const anonymous = volumes.create({});
  console.log(/^[0-9a-f]{64}$/.test(anonymous.name), anonymous.anonymous, volumes.list().length);
  const { CreatedAt, Mountpoint, ...rest } = volumes.inspect('one'); console.log(JSON.stringify(rest), /^\\d{4}-.*Z$/.test(CreatedAt));
  console.log(volumes.list({ label: ['a'] }).map(({ name }) => name).join(), volumes.list({ label: ['a=c'] }).length, volumes.list({ name: ['on'] }).length, volumes.list({ driver: ['nfs'] }).length);
  users.set('one', ['c1', 'c2']);
  console.log(volumes.list({ dangling: ['true'] }).length, volumes.list({ dangling: ['false'] }).map(({ name }) => name).join());
  await refused(() => volumes.remove('one')); users.clear();
  await volumes.remove('one'); console.log(fs.existsSync('data/volumes/one'), fs.readdirSync('data/tmp').length);
  await refused(() => volumes.remove('one')); await volumes.remove('one', { force: true });
  await refused(() => volumes.get('one'));
  await refused(() => volumes.create({ name: 'two', driver: 'nfs' })); await refused(() => volumes.create({ name: 'two', options: { size: '5' } })); await refused(() => volumes.list({ colour: ['red'] }));
`,
  `true true
true true 2
{"Driver":"local","Labels":{"a":"b"},"Name":"one","Options":null,"Scope":"local"} true
one 0 1 0
1 one
conflict: remove one: volume is in use - [c1, c2]
false 0
not-found: get one: no such volume
not-found: get one: no such volume
not-found: create two: error looking up volume plugin nfs: plugin "nfs" not found
invalid: create two: invalid option: "size"
invalid: invalid filter 'colour'
`,
);

both(
  'the filters of a list: names are regular expressions, labels are labels',
  `
  for (const name of ['zed', 'zed-2', 'azed']) volumes.create({ name, labels: { a: 'b' } });
  const names = (filters) => console.log(volumes.list(filters).map(({ name }) => name).join());
  names({ name: ['^zed$'] }); names({ name: ['zed'] }); names({ name: ['^z', '^a'] }); names({ name: ['zed-[0-9]'] });
  names({ label: ['constructor'] }); names({ label: ['toString='] }); names({ label: ['a=b', 'toString'] });
  console.log((await volumes.prune({ all: true, filters: { label: ['constructor'] } })).deleted.length);
  await refused(() => volumes.list({ name: ['['] })); await refused(() => volumes.list({ dangling: ['x'], driver: ['none'] }));
  await refused(() => volumes.list({ constructor: ['x'] }));
`,
  `zed
azed,zed,zed-2
azed,zed,zed-2
zed-2



0
invalid: invalid filter name "[": it is no regular expression: missing closing ]: \`[\`
invalid: invalid filter 'dangling=x'
invalid: invalid filter 'constructor'
`,
);

both(
  'prune takes what nobody uses and nobody named',
  `
  volumes.create({ name: 'named' }); volumes.create({ name: 'kept', labels: { keep: '' } }); const used = volumes.create({}); const free = volumes.create({});
  fs.writeFileSync(join(free.mountpoint, 'f'), Buffer.alloc(100000)); users.set(used.name, ['c']);
  const first = await volumes.prune(); console.log(first.deleted.join() === free.name, first.reclaimed >= 100000 && first.reclaimed < 130000);
  console.log((await volumes.prune({ all: true, filters: { 'label!': ['keep'] } })).deleted.join(), volumes.list().map(({ name }) => name === used.name ? 'used' : name).sort().join());
  console.log((await volumes.removeAnonymous([{ name: used.name }, { name: 'kept' }, { source: '/tmp' }])).length); users.clear();
  console.log((await volumes.removeAnonymous([{ name: used.name }, { name: 'kept' }])).length, volumes.list().length);
`,
  'true true\nnamed kept,used\n0\n1 1\n',
);

both(
  "a new volume starts with the image's content",
  `
  const base = busybox('base'); fs.mkdirSync('base/data/sub', { recursive: true }); fs.writeFileSync('base/data/gone', 'x'); fs.writeFileSync('base/data/f', 'lower');
  fs.symlinkSync('/data', 'base/link'); fs.symlinkSync('../../../../../../etc', 'base/out');
  fs.mkdirSync('top/data', { recursive: true }); fs.writeFileSync('top/data/f', 'upper'); 
  const script = 'chown -R 0:0 base top; chown 33:44 top/data top/data/f base/data/sub; chmod 1777 top/data; chmod 4750 top/data/f; setfattr -n user.colour -v red top/data/f; touch -d @1000000 top/data/f base/data/sub; ln top/data/f top/data/hard';
  const prepared = process.getuid() === 0 ? runInUserNamespace({ program: ['true'] }) : runInUserNamespace({ program: ['sh', '-c', script], stderr: 'pipe' });
  if (process.getuid() === 0) execFileSync('sh', ['-c', script.replaceAll('0:0', '1000000000:1000000000').replaceAll('33:44', '1000000033:1000000044')]);
  await prepared.started; await prepared.exited;
  const lower = [resolve('top'), resolve('base')];
  const request = (target, options = [], source) => ({ type: 'volume', target, source, readonly: false, options, createSource: false });
  const mounts = volumes.resolve({ mounts: [request('/data', [], 'v1'), request('/link', [], 'v2'), request('/none', [], 'v3'), request('/out', [], 'v4'), request('/data2', ['nocopy'], 'v5')].map((m) => m) });
  await volumes.populate(mounts, { lower });
  const at = (name, file = '') => resolve('data/volumes/' + name + '/_data', file);
  console.log(owned(at('v1')) === id(33) + ' ' + id(44) + ' 1777', fs.readdirSync(at('v1')).sort().join(), fs.readFileSync(at('v2', 'gone'), 'utf8'));
  const check = runInUserNamespace({ program: ['sh', '-c', 'cat f; stat -c "%u %g %a %Y %h" f sub; getfattr --only-values -n user.colour f'], stdout: 'pipe', reach: { kept: [at('v1')] }, steps: [{ op: 'chdir', path: at('v1') }] });
  console.log(await text(check.stdout));
  console.log(fs.readdirSync(at('v3')).length, fs.existsSync(at('v4', 'passwd')), fs.readdirSync(at('v4')).includes('shadow'), fs.readdirSync(at('v5')).length);
  // a second container finds them as they are
  fs.writeFileSync(at('v4', 'mine'), 'x'); fs.rmSync(at('v4', 'passwd')); await volumes.populate(mounts, { lower });
  console.log(fs.existsSync(at('v4', 'passwd')), fs.readdirSync('data/volumes/v1').join(), fs.readdirSync('data/tmp').length);
`,
  `true f,gone,hard,sub x
upper33 44 4750 1000000 2
33 44 755 1000000 2
red
0 true false 0
false _data,record.json 0
`,
);

both(
  'the option U gives a folder to the user, whom the image knows; a new volume too, with what was copied into it',
  `
  const lower = [busybox('base')]; fs.mkdirSync('base/etc/sub'); fs.mkdirSync('mine/sub', { recursive: true }); chown('mine'); chown('base');
  const given = (user) => volumes.populate([{ type: 'bind', source: resolve('mine'), destination: '/m', readonly: false, options: ['U'] }], { lower, user });
  for (const [user, uid, gid] of [['5:6', 5, 6], ['ann', 1000, 1000], ['ann:root', 1000, 0], ['7', 7, 0], ['1000', 1000, 1000], ['', 0, 0]]) { await given(user); console.log(user, owned('mine/sub') === id(uid) + ' ' + id(gid) + ' 755'); }
  await refused(() => given('nobody-there')); await refused(() => given('ann:nogroup'));
  const mounts = volumes.resolve({ mounts: [{ type: 'volume', target: '/etc', source: 'vu', readonly: false, options: ['U'], createSource: false }] });
  await volumes.populate(mounts, { lower, user: 'ann' }); console.log(owned(mounts[0].source) === id(1000) + ' ' + id(1000) + ' 755', owned(join(mounts[0].source, 'passwd')) === id(1000) + ' ' + id(1000) + ' 644');
`,
  `5:6 true
ann true
ann:root true
7 true
1000 true
 true
unsupported: cannot give HOME/mine to nobody-there: unable to find user nobody-there: no matching entries in passwd file
unsupported: cannot give HOME/mine to ann:nogroup: unable to find group nogroup: no matching entries in group file
true true
`,
);

both(
  'a volume in a container is the folder on the host',
  `
  const { mountpoint } = volumes.create({ name: 'shared' });
  const change = (spec) => ({ ...spec, mounts: [...spec.mounts, { destination: '/v', type: 'bind', source: mountpoint, options: ['rbind', 'rprivate'] }] });
  await sh('echo from one > /v/f; chown 7:7 /v/f', { change }); console.log((await sh('cat /v/f; stat -c %u /v/f', { change })).out.trim(), owned(join(mountpoint, 'f')) === id(7) + ' ' + id(7) + ' 644');
  await volumes.remove('shared'); console.log(fs.existsSync('data/volumes/shared'));
`,
  'from one\n7 true\nfalse\n',
);

both(
  'what a killed create left goes with a prune; what has content or a copy of its record stays',
  `
  for (const name of ['empty', 'full', 'recorded']) fs.mkdirSync('data/volumes/' + name + '/_data', { recursive: true });
  fs.mkdirSync('data/volumes/bare');
  fs.writeFileSync('data/volumes/full/_data/f', ''); fs.writeFileSync('data/volumes/recorded/record.json', '{}');
  volumes.create({ name: 'named' });
  await volumes.prune();
  console.log(fs.readdirSync('data/volumes').sort().join(), fs.readdirSync('data/tmp').length);
`,
  'full,named,recorded 0\n',
);
