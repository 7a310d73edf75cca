import test from 'ava';
import {
  parseTmpfsOptions,
  propagates,
  readMountOptions,
  type MountSettings,
} from '../../src/notation/mount-options.ts';

const NONE = { flags: [], noCopy: false, chown: false };
const READ: [type: 'bind' | 'volume' | 'tmpfs' | 'image', options: string[], settings: Partial<MountSettings>][] = [
  ['bind', [], {}],
  ['bind', ['rw', 'z', 'cached', 'consistency=delegated'], {}],
  ['bind', ['rshared'], { propagation: 'rshared' }],
  ['bind', ['bind-propagation=slave', 'private'], { propagation: 'private' }],
  ['bind', ['bind'], { bind: 'bind' }],
  ['bind', ['bind-nonrecursive=true'], { bind: 'bind' }],
  ['bind', ['bind-recursive=writable'], { recursiveReadonly: 'no' }],
  ['bind', ['bind-recursive=readonly'], { bind: 'rbind', recursiveReadonly: 'forced' }],
  ['bind', ['noexec', 'nodev', 'U'], { flags: ['noexec', 'nodev'], chown: true }],
  ['volume', ['nocopy'], { noCopy: true }],
  ['volume', ['volume-subpath=a=b'], { subpath: 'a=b' }],
  ['volume', ['volume-subpath='], { subpath: '' }],
  [
    'volume',
    ['volume-driver=local', 'volume-label=a', 'volume-label=b=c', 'volume-opt=o=bind'],
    { driver: 'local', labels: { a: '', b: 'c' }, driverOptions: { o: 'bind' } },
  ],
  ['tmpfs', ['tmpfs-size=64', 'tmpfs-mode=1777'], { tmpfsSize: '64', tmpfsMode: '1777' }],
  ['image', ['image-subpath=etc'], { subpath: 'etc' }],
  ['image', ['image-subpath='], {}],
];
for (const [type, options, settings] of READ)
  test(`${type} ${options.join(' ')}`, (t) => t.deepEqual(readMountOptions(type, options), { ...NONE, ...settings }));

for (const [type, option, message] of [
  ['bind', 'rx', 'invalid mode: rx'],
  ['bind', 'constructor', 'invalid mode: constructor'],
  ['volume', 'volume-driver', 'invalid mode: volume-driver'],
  ['tmpfs', 'noexec', 'invalid option for a tmpfs mount: noexec'],
  ['tmpfs', 'tmpfs-size=', 'invalid tmpfs option ["size="]'],
  ['image', 'nocopy', 'invalid mount config for type "image": it has no option "nocopy"'],
] as const)
  test(`refused: ${type} ${option}`, (t) => void t.throws(() => readMountOptions(type, [option]), { message }));

test('propagation', (t) => {
  for (const [word, is] of [
    ['rshared', true],
    ['slave', true],
    ['rprivate', false],
  ] as const)
    t.is(propagates(readMountOptions('bind', [word])), is);
  t.false(propagates(readMountOptions('bind', [])));
});

test('--tmpfs', (t) => {
  t.deepEqual(parseTmpfsOptions('rw,,size=64m'), ['rw', 'size=64m']);
  t.throws(() => parseTmpfsOptions('nope'), { message: 'invalid tmpfs option ["nope"]' });
});
