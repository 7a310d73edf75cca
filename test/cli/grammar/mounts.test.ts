import test from 'ava';
import type { MountRequest } from '../../../src/engine/contract.ts';
import { parseMount } from '../../../src/cli/grammar/mounts.ts';
import { parseTmpfs, parseVolume } from '../../../src/engine/request/mounts.ts';

const volume = (text: string) => parseVolume(text, { workdir: '/work/here' });

const VOLUMES: [text: string, request: Partial<MountRequest>][] = [
  ['/data', { type: 'volume', target: '/data', source: undefined, readonly: false, options: [] }],
  ['name:/data', { type: 'volume', source: 'name', target: '/data' }],
  ['/host:/data', { type: 'bind', source: '/host', target: '/data', createSource: true }],
  ['/host:/data:ro', { type: 'bind', readonly: true, options: [] }],
  ['/host:/data:rw', { readonly: false, options: [] }],
  ['/host:/data:ro,z', { readonly: true, options: ['z'] }],
  ['/host:/data:Z,rslave', { options: ['Z', 'rslave'] }],
  ['/host:/data:U', { options: ['U'] }],
  ['name:/data:nocopy', { type: 'volume', options: ['nocopy'] }],
  ['./x:/data', { type: 'bind', source: '/work/here/x' }],
  ['../x:/data', { type: 'bind', source: '/work/x' }],
  ['.:/data', { type: 'bind', source: '/work/here' }],
  ['/a//b/../c:/data//x/', { source: '/a/c', target: '/data/x' }],
  ['/host:/data:cached', { options: [] }],
];

for (const [text, request] of VOLUMES) test(`-v ${text}`, (t) => t.like(volume(text), request));

const BAD_VOLUMES: [text: string, message: RegExp][] = [
  ['', /^invalid empty volume spec$/],
  [':', /^invalid volume specification: ':'$/],
  [':/x', /^invalid volume specification: ':\/x'$/],
  ['/a:', /^invalid volume specification/],
  ['a:b:c:d:e', /^invalid volume specification: 'a:b:c:d:e'$/],
  ['/data:ro', /^invalid volume specification: '\/data:ro'$/],
  ['/a:/b:foo', /invalid mode: foo$/],
  ['/a:/b:ro,rw', /invalid mode: ro,rw$/],
  ['/a:/b:z,Z', /invalid mode: z,Z$/],
  ['name:data', /mount path must be absolute$/],
  ['/a:/', /destination can't be '\/'$/],
  ['/a:/x/..', /destination can't be '\/'$/],
  ['a/b:/x', /^create a\/b: "a\/b" includes invalid characters for a local volume name/],
  ['x:/x', /volume name is too short/],
];

for (const [text, message] of BAD_VOLUMES)
  test(`-v refuses ${JSON.stringify(text)}`, (t) => t.throws(() => volume(text), { message }));

const MOUNTS: [text: string, request: Partial<MountRequest>][] = [
  ['type=bind,source=/a,target=/b', { type: 'bind', source: '/a', target: '/b', readonly: false, createSource: false }],
  ['type=bind,src=/a,dst=/b,readonly', { readonly: true }],
  ['type=bind,src=/a,destination=/b,ro=true', { readonly: true }],
  ['type=bind,src=/a,target=/b,ro=false', { readonly: false }],
  ['target=/b', { type: 'volume', source: undefined, target: '/b' }],
  ['type=volume,src=name,target=/b,volume-nocopy', { source: 'name', options: ['nocopy'] }],
  ['type=volume,target=/b,volume-opt=type=nfs', { options: ['volume-opt=type=nfs'] }],
  ['type=bind,src=/a,target=/b,bind-propagation=rslave', { options: ['rslave'] }],
  ['type=bind,src=/a,target=/b,bind-recursive=disabled', { options: ['bind-nonrecursive'] }],
  ['type=bind,src=/a,target=/b,bind-recursive=enabled', { options: [] }],
  [
    'type=tmpfs,target=/b,tmpfs-size=64m,tmpfs-mode=1777',
    { type: 'tmpfs', options: ['tmpfs-size=67108864', 'tmpfs-mode=1777'] },
  ],
  ['TYPE=bind,Source=/a,Target=/b', { type: 'bind' }],
  [
    'type=image,source=a/b:1,target=/x',
    { type: 'image', source: 'a/b:1', target: '/x', options: [], createSource: false },
  ],
  ['type=IMAGE,src=a,dst=/x/,image-subpath=b/c', { type: 'image', target: '/x', options: ['image-subpath=b/c'] }],
  ['type=image,source=a,target=/x,readonly=false', { type: 'image', readonly: false }],
  ['type=image,source=a,target=/x,image-subpath=/b', { options: ['image-subpath=/b'] }],
  ['type=image,source=a,target=/x,image-subpath=', { options: ['image-subpath='] }],
  ['type=bind,"src=/a,b",target=/c', { source: '/a,b' }],
  ['type=bind,"src=/a""b",target=/c', { source: '/a"b' }],
];

for (const [text, request] of MOUNTS) test(`--mount ${text}`, (t) => t.like(parseMount(text), request));

/** As docker 28 words them, but for what only its daemon checks. */
const BAD_MOUNTS: [text: string, message: string][] = [
  ['', 'EOF'],
  ['foo', "invalid field 'foo' must be a key=value pair"],
  ['type=bind', 'target is required'],
  ['type=bind,foo=x', "unexpected key 'foo' in 'foo=x'"],
  ['type=bind,src=/a,target=/x,volume-nocopy', "cannot mix 'volume-*' options with mount type 'bind'"],
  ['type=volume,target=/x,tmpfs-size=1', "cannot mix 'tmpfs-*' options with mount type 'volume'"],
  ['target=/x,readonly=maybe', 'invalid value for readonly: maybe'],
  ['type=tmpfs,target=/x,tmpfs-size=q', 'invalid value for tmpfs-size: q'],
  ['type=tmpfs,target=/x,tmpfs-mode=9', 'invalid value for tmpfs-mode: 9'],
  [
    'type=bind,src=/a,target=/x,bind-recursive=q',
    'invalid value for bind-recursive: q (must be "enabled", "disabled", "writable", or "readonly")',
  ],
  ['type=bind,"src', 'parse error on line 1, column 15: extraneous or missing " in quoted-field'],
  ['type=bind,target=/x', 'field Source must not be empty'],
  ['type=tmpfs,src=/a,target=/x', 'invalid mount config for type "tmpfs": field Source must not be specified'],
  ['type=bind,src=/a,target=x', "invalid mount path: 'x' mount path must be absolute"],
  ['type=bind,src=/a,target=/', "invalid specification: destination can't be '/'"],
  ['type=foo,target=/x', "mount type 'foo' is not supported: use bind, volume, tmpfs or image"],
  ['type=image,target=/x', 'invalid mount config for type "image": field Source must not be empty'],
  ['type=image,source=,target=/x', 'invalid mount config for type "image": field Source must not be empty'],
  ['type=image,source=a', 'target is required'],
  ['type=image,source=a,target=x', "invalid mount path: 'x' mount path must be absolute"],
  ['type=image,source=a,target=/', "invalid specification: destination can't be '/'"],
  ['type=image,source=a,target=/x,rw', "invalid field 'rw' must be a key=value pair"],
  ['type=image,source=a,target=/x,rw=true', "unexpected key 'rw' in 'rw=true'"],
  ['type=image,source=a,target=/x,subpath=b', "unexpected key 'subpath' in 'subpath=b'"],
  ['type=image,source=a,target=/x,image-subpath', "invalid field 'image-subpath' must be a key=value pair"],
  ['type=image,source=a,target=/x,bind-propagation=rshared', "cannot mix 'bind-*' options with mount type 'image'"],
  ['type=image,source=a,target=/x,volume-nocopy', "cannot mix 'volume-*' options with mount type 'image'"],
  ['type=image,source=a,target=/x,volume-subpath=b', "cannot mix 'volume-*' options with mount type 'image'"],
  ['type=image,source=a,target=/x,tmpfs-size=1', "cannot mix 'tmpfs-*' options with mount type 'image'"],
  ['type=bind,src=/a,target=/x,image-subpath=b', "cannot mix 'image-*' options with mount type 'bind'"],
  ['type=volume,src=a,target=/x,image-subpath=b', "cannot mix 'image-*' options with mount type 'volume'"],
];

for (const [text, message] of BAD_MOUNTS)
  test(`--mount refuses ${JSON.stringify(text)}`, (t) => t.throws(() => parseMount(text), { message }));

test('--tmpfs', (t) => {
  t.deepEqual(parseTmpfs('/run'), ['/run', '']);
  t.deepEqual(parseTmpfs('/run/:rw,size=64m,mode=755'), ['/run', 'rw,size=64m,mode=755']);
  t.throws(() => parseTmpfs('run'), { message: /must be absolute/ });
  t.throws(() => parseTmpfs('/'), { message: /can't be '\/'/ });
});
