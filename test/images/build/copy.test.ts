/** COPY: what an instruction makes of a stage and a context, as the members of its layer. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { copyLayer, type CopyOptions } from '../../../src/images/build/copy.ts';
import type { CopyOperation } from '../../../src/images/build/operations.ts';
import { bytesOf, copy, type Entry, members, Place } from './stage.ts';

interface Case {
  /** members of the one layer of the stage */
  stage?: string[];
  files?: Record<string, Entry>;
  /** members of the one layer that is copied from, instead of files of a context */
  from?: string[];
  copy: string;
  options?: Partial<CopyOperation>;
  epoch?: number;
  makes?: string[];
  fails?: string;
  /** of what fails */
  fix?: string;
}

const ACCOUNTS = [
  'd /etc',
  'f /etc/passwd 644 0:0 root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n',
  'f /etc/group 644 0:0 root:x:0:\nann:x:1000:\nextra:x:2000:ann\n',
];

async function made(place: Place, { stage = [], files, from, copy: words, options, epoch }: Case): Promise<string[]> {
  const view = place.view(place.layer(...stage));
  const source = from === undefined ? place.context(files ?? {}) : place.view(place.layer(...from));
  const settings: CopyOptions = {
    unpack: { tmp: place.root, maxSize: 1 << 20 },
    ...(epoch !== undefined && { epoch }),
  };
  const layer = await copyLayer(copy(words, options), view, source, settings);
  return members(await bytesOf(layer.write()), place);
}

/** without the times of folders, which a test does not choose */
const withoutTimes = (lines: string[]) => lines.map((line) => line.replace(/ @\d+$/, ''));

const LINKS: Record<string, Entry> = {
  f: 'file',
  lf: { link: 'f' },
  'd/dead': { link: './missing' },
  'd/l': { link: '../f' },
  'real/x': 'X',
  ld: { link: 'real' },
  'sub/l1': { link: '../f' },
  'sub/l2': 'two',
  dead: { link: 'missing' },
  out: { link: '/etc/passwd' },
  up: { link: '../../../../etc/passwd' },
  'etc/passwd': 'inside',
  loop: { link: 'loop' },
};
const MODES: Record<string, Entry> = {
  d: { dir: true, mode: 0o700 },
  'd/s': { dir: true, mode: 0o711 },
  'd/e.sh': { data: 'x', mode: 0o775 },
  'd/s/x': { data: 'x', mode: 0o640 },
  f: { data: 'x', mode: 0o4755 },
};
const SEVERAL = 'with more than one source file, the destination must be a directory and end with a /';
const notFound = (path: string) => `failed to compute cache key: "${path}": not found`;

const cases: Record<string, Case> = {
  // Where it goes.
  'a file under a new name': { files: { f: '1' }, copy: 'f /g', makes: ["f 644 0:0 g '1'"] },
  'a file into a new folder': { files: { f: '1' }, copy: 'f /d/', makes: ['d 755 0:0 d/', "f 644 0:0 d/f '1'"] },
  'a file into a new folder that ends in a dot': {
    files: { f: '1' },
    copy: 'f /d/.',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/f '1'"],
  },
  'a file into the root': { files: { f: '1' }, copy: 'f /', makes: ["f 644 0:0 f '1'"] },
  'a file over a file': { stage: ['f /g 600 1:1 old'], files: { f: '1' }, copy: 'f /g', makes: ["f 644 0:0 g '1'"] },
  'a file into a folder that is there, which keeps what it has': {
    stage: ['d /d 711 5:6'],
    files: { f: '1' },
    copy: 'f /d',
    makes: ['d 711 5:6 d/', "f 644 0:0 d/f '1'"],
  },
  'the contents of a folder': {
    files: { 'd/a/b': '1', 'd/c': '2' },
    copy: 'd /x',
    makes: ['d 755 0:0 x/', 'd 755 0:0 x/a/', "f 644 0:0 x/a/b '1'", "f 644 0:0 x/c '2'"],
  },
  'the contents of a folder into the root': {
    files: { 'd/a/b': '1' },
    copy: 'd /',
    makes: ['d 755 0:0 a/', "f 644 0:0 a/b '1'"],
  },
  'the whole context': {
    files: { 'x/y': '1', '.h': '2' },
    copy: '. /w/',
    makes: ['d 755 0:0 w/', "f 644 0:0 w/.h '2'", 'd 755 0:0 w/x/', "f 644 0:0 w/x/y '1'"],
  },
  'an empty folder': { files: { d: { dir: true } }, copy: 'd /x', makes: ['d 755 0:0 x/'] },
  'an empty folder over one that is there': { stage: ['d /x'], files: { d: { dir: true } }, copy: 'd /x', makes: [] },
  'names in the order of their bytes': {
    files: { 'd/a/x': '', 'd/a-b': '', 'd/B': '', 'd/é': '', 'd/~': '' },
    copy: 'd /',
    makes: ['B', 'a/', 'a/x', 'a-b', '~', 'é'].map((name) =>
      name.endsWith('/') ? `d 755 0:0 ${name}` : `f 644 0:0 ${name} ''`,
    ),
  },
  'a file through a link to a folder': {
    stage: ['d /real', 'l /lnk real'],
    files: { f: 'F' },
    copy: 'f /lnk/',
    makes: ['d 755 0:0 real/', "f 644 0:0 real/f 'F'"],
  },
  'a file through a link that leads nowhere': {
    stage: ['l /dang /nowhere/x'],
    files: { f: 'F' },
    copy: 'f /dang',
    makes: ['d 755 0:0 nowhere/', "f 644 0:0 nowhere/x 'F'"],
  },
  'a file through a link to a file': {
    stage: ['d /real', 'f /real/file', 'l /lf real/file'],
    files: { f: 'F' },
    copy: 'f /lf',
    makes: ['d 755 0:0 real/', "f 644 0:0 real/file 'F'"],
  },
  'a folder through a link': {
    stage: ['d /real', 'l /lnk real'],
    files: { 'd/g': 'G' },
    copy: 'd /lnk',
    makes: ['d 755 0:0 real/', "f 644 0:0 real/g 'G'"],
  },
  'through a link that climbs out of the root': {
    stage: ['d /tmp 1777', 'l /up ../../../../tmp'],
    files: { f: 'F' },
    copy: 'f /up/here',
    makes: ['d 1777 0:0 tmp/', "f 644 0:0 tmp/here 'F'"],
  },
  'a file over a link in a folder, which it replaces': {
    stage: ['d /t', 'f /keep', 'l /t/f /keep'],
    files: { 'd/f': 'new' },
    copy: 'd /t',
    makes: ['d 755 0:0 t/', "f 644 0:0 t/f 'new'"],
  },
  'a folder over a file': {
    stage: ['f /t'],
    files: { 'd/f': '1' },
    copy: 'd /t',
    fails: 'cannot copy to non-directory: /t',
  },
  'a nested folder over a file': {
    stage: ['d /t', 'f /t/s'],
    files: { 'd/s/f': '1' },
    copy: 'd /t',
    fails: 'cannot copy to non-directory: /t/s',
  },
  'a file over a folder': {
    stage: ['d /t', 'd /t/f'],
    files: { f: '1' },
    copy: 'f /t',
    fails: 'cannot replace to directory /t/f with file',
  },
  'a folder over a link to one': {
    stage: ['d /t', 'd /other', 'l /t/s /other'],
    files: { 'd/s/f': '1' },
    copy: 'd /t',
    fails: 'cannot copy to non-directory: /t/s is a link to /other',
    fix: 'copy into /other/ instead',
  },
  'a folder over a link to one beside it': {
    stage: ['d /t', 'd /t/other', 'l /t/s other'],
    files: { 'd/s/f': '1' },
    copy: 'd /t',
    fails: 'cannot copy to non-directory: /t/s is a link to other',
    fix: 'copy into /t/other/ instead',
  },
  'a path through a file': { stage: ['f /t'], files: { f: '1' }, copy: 'f /t/x', fails: '/t is not a folder' },
  'a folder that is a file': {
    stage: ['f /t'],
    files: { f: '1' },
    copy: 'f /t/',
    fails: 'cannot copy to non-directory: /t',
  },
  'a destination of links in a circle': {
    stage: ['l /a b', 'l /b a'],
    files: { f: '1' },
    copy: 'f /a',
    fails: 'too many symbolic links in /a',
  },
  'a name that would hide another file': {
    stage: ['f /passwd'],
    files: { f: '1' },
    copy: 'f /.wh.passwd',
    fails: 'cannot make ".wh.passwd": in a layer a name that begins with .wh. hides another file',
  },
  'a folder whose name would hide everything': {
    files: { f: '1' },
    copy: 'f /.wh..wh..opq/f',
    fails: 'cannot make ".wh..wh..opq": in a layer a name that begins with .wh. hides another file',
  },
  'names that would hide another file, in a folder: left out': {
    files: { 'd/.wh.x': '1', 'd/.wh..wh..opq': '', 'd/y': '2' },
    copy: 'd /',
    makes: ["f 644 0:0 y '2'"],
  },
  'a name that is too long': {
    files: { f: '1' },
    copy: `f /${'x'.repeat(256)}`,
    fails: `cannot make "${'x'.repeat(255)}": a name may have 255 bytes`,
  },
  'a here-document whose name is a path': {
    copy: 'x /d/',
    options: { sources: [{ kind: 'inline', name: '../x', data: '' }] },
    fails: 'cannot make "../x": it is no name of a file',
  },
  'several sources into a folder': {
    files: { a: '1', b: '2' },
    copy: 'a b /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/a '1'", "f 644 0:0 d/b '2'"],
  },
  'several sources into a folder that is there': {
    stage: ['d /d'],
    files: { a: '1', b: '2' },
    copy: 'a b /d',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/a '1'", "f 644 0:0 d/b '2'"],
  },
  'several sources, no folder': { files: { a: '1', b: '2' }, copy: 'a b /d', fails: `When using COPY ${SEVERAL}` },
  'the same link twice': {
    files: LINKS,
    copy: 'lf lf /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/lf 'file'"],
  },
  'the last of two of one name': {
    files: { 'a/f': '1', 'b/f': '2' },
    copy: 'a/f b/f /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/f '2'"],
  },

  // What is copied.
  'a link that is named': { files: LINKS, copy: 'lf /r', makes: ["f 644 0:0 r 'file'"] },
  'links in a folder, which stay': {
    files: LINKS,
    copy: 'd /d',
    makes: ['d 755 0:0 d/', 'l 777 0:0 d/dead -> ./missing', 'l 777 0:0 d/l -> ../f'],
  },
  'a link to a folder': { files: LINKS, copy: 'ld /ld', makes: ['d 755 0:0 ld/', "f 644 0:0 ld/x 'X'"] },
  'through a link to a folder': { files: LINKS, copy: 'ld/x /v', makes: ["f 644 0:0 v 'X'"] },
  'links that are matched': {
    files: LINKS,
    copy: 'sub/l* /all/',
    makes: ['d 755 0:0 all/', "f 644 0:0 all/l1 'file'", "f 644 0:0 all/l2 'two'"],
  },
  'an absolute link, within the context': { files: LINKS, copy: 'out /r', makes: ["f 644 0:0 r 'inside'"] },
  'a link that climbs, within the context': { files: LINKS, copy: 'up /r', makes: ["f 644 0:0 r 'inside'"] },
  'a link that leads nowhere': { files: LINKS, copy: 'dead /r', fails: notFound('/missing') },
  'a link to itself': { files: LINKS, copy: 'loop /r', fails: 'too many symbolic links in /loop' },
  'a name that is not there': { files: { f: '1' }, copy: 'nope /d/', fails: notFound('/nope') },
  'a name below a file': { files: { f: '1' }, copy: 'f/x /d/', fails: '/f is not a folder' },
  'a wildcard that matches nothing, beside a file': {
    files: { f: '1' },
    copy: 'f no* /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/f '1'"],
  },
  'a wildcard that matches nothing': { files: { f: '1' }, copy: 'no* /d/', makes: [] },
  'a wildcard to one file': { files: { f1: '1' }, copy: 'f* /x', makes: ["f 644 0:0 x '1'"] },
  'a wildcard to two files, no folder: the last': {
    files: { g1: '1', g2: '2' },
    copy: 'g* /y',
    makes: ["f 644 0:0 y '2'"],
  },
  'a wildcard in a folder': {
    files: { 's1/t': '1', 's2/t': '2', s3: 'no folder' },
    copy: 's*/t /z',
    makes: ["f 644 0:0 z '2'"],
  },
  'folders that are matched: their contents': {
    files: { 's1/a': '1', 's2/b': '2', 's1/t/c': '3' },
    copy: 's* /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/a '1'", "f 644 0:0 d/b '2'", 'd 755 0:0 d/t/', "f 644 0:0 d/t/c '3'"],
  },
  'a bracket for a bracket': {
    files: { 'arr[0].txt': '1' },
    copy: 'arr[[]0].txt /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/arr[0].txt '1'"],
  },
  'a pattern that is none': {
    files: { f: '1' },
    copy: 'a[ /d/',
    fails: 'invalid pattern "a[": syntax error in pattern',
  },
  'a question mark for a character of two bytes': {
    files: { é: '1' },
    copy: '? /d/',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/é '1'"],
  },
  'a name with a blank': {
    files: { 'a b': '1' },
    copy: 'x /e/',
    options: { sources: [{ kind: 'path', path: 'a b', written: 'a b' }] },
    makes: ['d 755 0:0 e/', "f 644 0:0 e/a b '1'"],
  },
  'here-documents': {
    copy: 'x /d/',
    options: {
      sources: [
        { kind: 'inline', name: 'A', data: 'é\n' },
        { kind: 'inline', name: 'B', data: '' },
      ],
      chown: '5',
    },
    makes: ['d 755 5:5 d/', "f 644 5:5 d/A 'é\n'", "f 644 5:5 d/B ''"],
  },
  'a here-document as a file, as old as its folder': {
    stage: ['d /d'],
    copy: 'x /d/n',
    options: { sources: [{ kind: 'inline', name: 'A', data: 'x' }] },
    makes: ['d 755 0:0 d/', "f 644 0:0 d/n 'x'"],
  },
  'a source that is ignored': {
    files: { '.dockerignore': '# c\na\n', a: '1' },
    copy: 'a /c/',
    fails: `${notFound('/a')}: left out by line 2 of .dockerignore (a)`,
  },
  'a link to a file that is ignored': {
    files: { '.dockerignore': 'a\n', a: '1', l: { link: 'a' } },
    copy: 'l /c/',
    fails: `${notFound('/a')}: left out by line 1 of .dockerignore (a)`,
  },

  // Owners and modes.
  'modes, but 0755 for what is made': {
    files: MODES,
    copy: 'd /scripts',
    makes: ['d 755 0:0 scripts/', "f 775 0:0 scripts/e.sh 'x'", 'd 711 0:0 scripts/s/', "f 640 0:0 scripts/s/x 'x'"],
  },
  'a setuid file': {
    files: MODES,
    copy: 'f /new/dir/',
    makes: ['d 755 0:0 new/', 'd 755 0:0 new/dir/', "f 4755 0:0 new/dir/f 'x'"],
  },
  'owners by name, for what is made too': {
    stage: [...ACCOUNTS, 'd /home', 'd /home/ann 755 1000:1000'],
    files: { f: '1' },
    copy: 'f /home/ann/p/q/f2',
    options: { chown: 'ann:extra' },
    makes: [
      'd 755 0:0 home/',
      'd 755 1000:1000 home/ann/',
      'd 755 1000:2000 home/ann/p/',
      'd 755 1000:2000 home/ann/p/q/',
      "f 644 1000:2000 home/ann/p/q/f2 '1'",
    ],
  },
  'a user alone': {
    stage: ACCOUNTS,
    files: { f: '1' },
    copy: 'f /f',
    options: { chown: 'ann' },
    makes: ["f 644 1000:1000 f '1'"],
  },
  'a number alone': {
    stage: ACCOUNTS,
    files: { f: '1' },
    copy: 'f /g',
    options: { chown: '55' },
    makes: ["f 644 55:55 g '1'"],
  },
  'a group alone': {
    stage: ACCOUNTS,
    files: { f: '1' },
    copy: 'f /h',
    options: { chown: ':extra' },
    makes: ["f 644 0:2000 h '1'"],
  },
  'an owner in passwd behind a link': {
    stage: ['d /etc', 'l /etc/passwd ../../lib/pw', 'd /lib', 'f /lib/pw 644 0:0 bob:x:7:8::/:'],
    files: { f: '1' },
    copy: 'f /f',
    options: { chown: 'bob' },
    makes: ["f 644 7:8 f '1'"],
  },
  'an unknown user': {
    stage: ACCOUNTS,
    files: { f: '1' },
    copy: 'f /f',
    options: { chown: 'nobodyhere:nogrp' },
    fails: '--chown nobodyhere:nogrp: the stage\'s /etc/passwd has no user "nobodyhere"',
  },
  'an unknown group': {
    stage: ACCOUNTS,
    files: { f: '1' },
    copy: 'f /f',
    options: { chown: 'ann:nogrp' },
    fails: '--chown ann:nogrp: the stage\'s /etc/group has no group "nogrp"',
  },
  'an owner where passwd is a folder': {
    stage: ['d /etc', 'd /etc/passwd'],
    files: { f: '1' },
    copy: 'f /f',
    options: { chown: 'ann' },
    fails: '--chown ann: the stage\'s /etc/passwd has no user "ann"',
  },
  'an owner over folders that are there': {
    stage: ['d /e 755 500:600', 'd /e/sub 700 501:601'],
    files: { 'd/f': '1', 'd/sub/g': '2', 'd/new/h': '3' },
    copy: 'd /e',
    options: { chown: '1:2' },
    makes: [
      'd 755 500:600 e/',
      "f 644 1:2 e/f '1'",
      'd 755 1:2 e/new/',
      "f 644 1:2 e/new/h '3'",
      'd 755 1:2 e/sub/',
      "f 644 1:2 e/sub/g '2'",
    ],
  },
  'a mode, but for what is made': {
    files: { 'd/s/f': { data: 'x', mode: 0o600 } },
    copy: 'd /d',
    options: { chmod: '1750' },
    makes: ['d 755 0:0 d/', 'd 1750 0:0 d/s/', "f 1750 0:0 d/s/f 'x'"],
  },
  'a symbolic mode': {
    files: { 'd/s/f': { data: 'x', mode: 0o600 }, 'd/x': { data: 'x', mode: 0o700 }, 'd/l': { link: 'x' } },
    copy: 'd /d',
    options: { chmod: 'u=rwX,go=rX' },
    makes: ['d 755 0:0 d/', 'l 777 0:0 d/l -> x', 'd 755 0:0 d/s/', "f 644 0:0 d/s/f 'x'", "f 755 0:0 d/x 'x'"],
  },
  'no mode': {
    files: { f: '1' },
    copy: 'f /f',
    options: { chmod: '08' },
    fails: "invalid chmod parameter: '08'. it should be octal string and between 0 and 07777",
  },

  // Other layers.
  'contents of another stage, whose top folder gives nothing': {
    from: ['d /srv 2770 1000:5', 'd /srv/a 700 1000:5', 'f /srv/a/f 644 1000:5 x'],
    copy: '/srv/ /srv/',
    makes: ['d 755 0:0 srv/', 'd 700 1000:5 srv/a/', "f 644 1000:5 srv/a/f 'x'"],
  },
  'an owner for another stage': {
    from: ['d /srv 2770 1000:5', 'd /srv/a 700 1000:5'],
    copy: '/srv/ /srv2/',
    options: { chown: '7' },
    makes: ['d 755 7:7 srv2/', 'd 700 7:7 srv2/a/'],
  },
  'hard links within a folder': {
    from: ['d /s', 'f /s/b 644 0:0 hi', 'h /s/a /s/b'],
    copy: '/s /s2',
    makes: ['d 755 0:0 s2/', "f 644 0:0 s2/a 'hi'", 'h 644 0:0 s2/b -> s2/a'],
  },
  'hard links of the context': {
    files: { 'd/x': '1', 'd/y': { hard: 'd/x' } },
    copy: 'd /d',
    makes: ['d 755 0:0 d/', "f 644 0:0 d/x '1'", 'h 644 0:0 d/y -> d/x'],
  },
  'hard links that are named each: files each': {
    from: ['f /a 4755 0:0 x', 'h /hard /a'],
    copy: '/a /hard /st/',
    makes: ['d 755 0:0 st/', "f 4755 0:0 st/a 'x'", "f 4755 0:0 st/hard 'x'"],
  },
  'a link of another stage, within its root': {
    from: ['d /etc', 'f /etc/p 644 0:0 inside', 'l /l ../../etc/p'],
    copy: '/l /r',
    makes: ["f 644 0:0 r 'inside'"],
  },

  // --exclude, --parents, epoch.
  'without what is excluded': {
    files: { 'd/a.txt': '1', 'd/b.md': '2', 'd/s/c.txt': '3', 'd/s/e.md': '4' },
    copy: 'd /x',
    options: { exclude: ['**/*.txt', '!a.txt'] },
    makes: [
      'd 755 0:0 x/',
      "f 644 0:0 x/a.txt '1'",
      "f 644 0:0 x/b.md '2'",
      'd 755 0:0 x/s/',
      "f 644 0:0 x/s/e.md '4'",
    ],
  },
  'files that a wildcard finds, without what is excluded': {
    files: { 'a.txt': '1', 'b.md': '2' },
    copy: '* /x/',
    options: { exclude: ['*.txt'] },
    makes: ['d 755 0:0 x/', "f 644 0:0 x/b.md '2'"],
  },
  'what is let in again below a folder that is excluded': {
    files: { 'd/s/a': '1', 'd/s/b': '2', 'd/t/c': '3' },
    copy: 'd /x',
    options: { exclude: ['s', 't', '!s/b'] },
    makes: ['d 755 0:0 x/', 'd 755 0:0 x/s/', "f 644 0:0 x/s/b '2'"],
  },
  'with the folders above': {
    files: { x: { dir: true, mode: 0o700 }, 'x/a.txt': '1', 'x/b': '2', 'y/a.txt': '3' },
    copy: './x/a.txt y/a.txt /p/',
    options: { parents: true },
    makes: ['d 755 0:0 p/', 'd 700 0:0 p/x/', "f 644 0:0 p/x/a.txt '1'", 'd 755 0:0 p/y/', "f 644 0:0 p/y/a.txt '3'"],
  },
  'with the folders from the mark on': {
    files: { 'x/y/a': '1', 'x/y/z/b': '2' },
    copy: 'x/./y/* /p',
    options: { parents: true },
    makes: ['d 755 0:0 p/', 'd 755 0:0 p/y/', "f 644 0:0 p/y/a '1'", 'd 755 0:0 p/y/z/', "f 644 0:0 p/y/z/b '2'"],
  },
  'with all folders above what any depth has': {
    files: { 'a/package.json': '1', 'a/b/c/package.json': '2', 'a/x': '3', 'package.json': '4' },
    copy: '**/package.json /p/',
    options: { parents: true },
    makes: [
      'd 755 0:0 p/',
      'd 755 0:0 p/a/',
      'd 755 0:0 p/a/b/',
      'd 755 0:0 p/a/b/c/',
      "f 644 0:0 p/a/b/c/package.json '2'",
      "f 644 0:0 p/a/package.json '1'",
      "f 644 0:0 p/package.json '4'",
    ],
  },
  'a folder with the folders above': {
    stage: ['d /p', 'd /p/x 711 3:3'],
    files: { 'x/y/a': '1', 'x/b': '2' },
    copy: 'x/y /p/',
    options: { parents: true },
    makes: ['d 755 0:0 p/', 'd 711 3:3 p/x/', 'd 755 0:0 p/x/y/', "f 644 0:0 p/x/y/a '1'"],
  },
  'no file with the folders above': {
    files: { 'x/y/a': '1' },
    copy: 'x/z /p/',
    options: { parents: true },
    fails: notFound('/x/z'),
  },
};

for (const [name, one] of Object.entries(cases)) {
  test(name, async (t) => {
    using place = new Place();
    if (one.fails === undefined) return t.deepEqual(withoutTimes(await made(place, one)), one.makes!);
    const error = await t.throwsAsync(made(place, one), { message: one.fails, instanceOf: HuskError });
    if (one.fix !== undefined) t.is(error.fix, one.fix);
  });
}
