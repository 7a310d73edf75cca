/** WORKDIR: the folders that an instruction makes in a stage. */
import test from 'ava';
import type { WorkdirOperation } from '../../../src/images/build/operations.ts';
import { workdirLayer } from '../../../src/images/build/workdir.ts';
import { bytesOf, members, Place } from './stage.ts';

const PASSWD = ['d /etc', 'f /etc/passwd 644 0:0 root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n'];

const workdir = (path: string, user = ''): WorkdirOperation => ({
  kind: 'workdir',
  range: { start: 3, end: 3 },
  text: `WORKDIR ${path}`,
  createdBy: `WORKDIR ${path}`,
  path,
  user,
});

const cases: [name: string, stage: string[], path: string, user: string, makes: string[]][] = [
  ['a folder', [], '/w', '', ['d 755 0:0 w/ @0']],
  ['a folder that is there', ['d /w'], '/w', '', []],
  ['the root', [], '/', '', []],
  [
    'folders of a user, the time of the folder above',
    [...PASSWD, 'd /own 755 1000:0'],
    '/own/a/b',
    'ann',
    ['d 755 1000:0 own/', 'd 755 1000:1000 own/a/', 'd 755 1000:1000 own/a/b/'],
  ],
  ['folders of a number', ['d /w'], '/w/x', '1234', ['d 755 0:0 w/', 'd 755 1234:1234 w/x/']],
  ['a user and a group', ['d /w'], '/w/x', '5:6', ['d 755 0:0 w/', 'd 755 5:6 w/x/']],
  ['a path through a link', ['d /real', 'l /lnk /real'], '/lnk/sub', '', ['d 755 0:0 real/', 'd 755 0:0 real/sub/']],
  ['a link that leads nowhere', ['l /lnk far/away'], '/lnk', '', ['d 755 0:0 far/ @0', 'd 755 0:0 far/away/ @0']],
  ['a link that climbs', ['d /tmp', 'l /up ../../../tmp'], '/up/x', '', ['d 755 0:0 tmp/', 'd 755 0:0 tmp/x/']],
];
for (const [name, stage, path, user, makes] of cases) {
  test(`makes ${name}`, async (t) => {
    using place = new Place();
    const layer = workdirLayer(workdir(path, user), place.view(place.layer(...stage)));
    t.deepEqual(members(await bytesOf(layer.write()), place), makes);
  });
}

test('a user whom the stage does not know leaves the folder to root, and is told of', async (t) => {
  using place = new Place();
  const notes: string[] = [];
  const layer = workdirLayer(workdir('/w', 'bob'), place.view(place.layer(...PASSWD)), {
    note: (text) => notes.push(text),
  });
  t.deepEqual(members(await bytesOf(layer.write()), place), ['d 755 0:0 w/ @0']);
  t.regex(notes.join('\n'), /\/etc\/passwd has no user "bob"/);
});

for (const [name, stage, path, message] of [
  ['a file', ['f /w'], '/w', 'cannot make the folder /w: a file is in its place'],
  ['a path through a file', ['f /w'], '/w/x', '/w is not a folder'],
  ['links in a circle', ['l /a b', 'l /b a'], '/a', 'too many symbolic links in /a'],
] as const) {
  test(`refuses ${name}`, async (t) => {
    using place = new Place();
    const layer = workdirLayer(workdir(path), place.view(place.layer(...stage)));
    await t.throwsAsync(bytesOf(layer.write()), { message, name: 'HuskError' });
  });
}

test('the key has path, user and epoch', (t) => {
  using place = new Place();
  const view = place.view();
  const keys = [
    workdirLayer(workdir('/w'), view),
    workdirLayer(workdir('/v'), view),
    workdirLayer(workdir('/w', 'ann'), view),
    workdirLayer(workdir('/w'), view, { epoch: 5 }),
  ].map(({ key }) => key);
  t.is(new Set(keys).size, keys.length);
  t.is(workdirLayer(workdir('/w'), place.view(place.layer('d /x'))).key, keys[0]!);
});
