/** Repositories as a build names them: BuildKit's forms, and what is refused because git or ssh would obey it. */
import test from 'ava';
import { HuskError } from '../../../../src/errors.ts';
import {
  isGitUrl,
  parseGitUrl,
  redacted,
  submoduleUrl,
  type GitSource,
} from '../../../../src/images/build/remote/git-url.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

const PARSED: [text: string, expected: Partial<GitSource>][] = [
  ['https://h/a.git', { repository: 'https://h/a.git', transport: 'https', subdir: '', submodules: true }],
  ['http://h:8080/a.git/', { repository: 'http://h:8080/a.git/', transport: 'http' }],
  ['https://h/a.git#main', { ref: 'main' }],
  ['https://h/a.git#main:sub/dir', { ref: 'main', subdir: 'sub/dir' }],
  ['https://h/a.git#:sub', { subdir: 'sub' }],
  ['https://h/a.git#refs/pull/1/head', { ref: 'refs/pull/1/head' }],
  [`https://h/a.git#${COMMIT}`, { ref: COMMIT }],
  ['https://h/a.git?ref=v1&subdir=x', { ref: 'v1', subdir: 'x', repository: 'https://h/a.git' }],
  ['https://h/a.git?tag=v1', { ref: 'refs/tags/v1' }],
  ['https://h/a.git?branch=v1', { ref: 'refs/heads/v1' }],
  ['https://h/a.git?ref=v1#v1:s', { ref: 'v1', subdir: 's' }],
  ['https://h/a.git?checksum=0123456', { checksum: '0123456' }],
  ['https://h/a.git?commit=0123456', { checksum: '0123456' }],
  ['https://h/a.git?keep-git-dir=1&submodules=false', { keepGitDir: true, submodules: false }],
  ['https://h/a.git#:../../etc', { subdir: 'etc' }],
  ['https://h/a.git#:/', { subdir: '' }],
  ['git://h/a', { repository: 'git://h/a', transport: 'git' }],
  ['ssh://git@h:22/a', { repository: 'ssh://git@h:22/a', transport: 'ssh' }],
  ['git@h:a/b.git#x', { repository: 'git@h:a/b.git', transport: 'ssh', ref: 'x' }],
  ['https://u:p@h/a.git', { repository: 'https://u:p@h/a.git' }],
];
for (const [text, expected] of PARSED)
  test(`is ${JSON.stringify(expected)}: ${text}`, (t) => {
    t.true(isGitUrl(text));
    t.like(parseGitUrl(text), expected);
  });

const REFUSED: [text: string, why: RegExp][] = [
  ['https://h/a.git#--upload-pack=x', /no name of a branch/],
  ['https://h/a.git?ref=-x', /no name of a branch/],
  ['https://h/a.git#a..b', /no name of a branch/],
  ['https://h/a.git#a~1', /no name of a branch/],
  ['https://h/a.git#a%20b', /no name of a branch/],
  ['https://h/a.git#a*', /no name of a branch/],
  ['https://h/a.git#a.lock', /no name of a branch/],
  ['https://h/a.git#a%0ab', /control character/],
  [`https://h/a.git#${'a'.repeat(1025)}`, /no name of a branch/],
  ['https://h/a.git?x=1', /unexpected query "x"/],
  ['https://h/a.git?ref=a&ref=b', /twice/],
  ['https://h/a.git?tag=a&branch=b', /a tag and a branch/],
  ['https://h/a.git?ref=a#b', /ref conflicts/],
  ['https://h/a.git?subdir=a#:b', /subdir conflicts/],
  ['https://h/a.git?checksum=xyz', /no commit/],
  ['https://h/a.git?submodules=maybe', /neither true nor false/],
  ['ssh://-oProxyCommand=x/a', /begins with -|no URL/],
  ['ssh://-x@h/a', /begins with -/],
  ['ssh://h/-x', /begins with -/],
  ['git@-oProxyCommand:a', /begins with -/],
  ['-x@h:a', /begins with -/],
  ['git@h:-x', /begins with -/],
  ['git@h:', /no path/],
  ['https://h/a.git#%zz', /broken %/],
  ['https://h/a b.git', /a space/],
  [`https://h/${'a'.repeat(9000)}.git`, /longer than 8192/],
];
for (const [text, why] of REFUSED)
  test(`is refused: ${text.slice(0, 60)}`, (t) => {
    const error = t.throws(() => parseGitUrl(text), { instanceOf: HuskError });
    t.regex(error.message, why);
    t.is(error.kind, 'invalid');
    t.true(error.message.length < 600);
  });

for (const text of [
  'https://h/a',
  'https://h/a.git.tar',
  'https://h/a?x=.git',
  'https://h/a#.git',
  'a.git',
  './a@b:c',
  'a',
])
  test(`is no repository: ${text}`, (t) => t.false(isGitUrl(text)));

const MODULES: [text: string, parent: string, expected: string | RegExp][] = [
  ['https://o/b.git', 'https://h/a.git', 'https://o/b.git'],
  ['../b.git', 'https://h/x/a.git', 'https://h/x/b.git'],
  ['./b', 'https://h/x/a.git', 'https://h/x/a.git/b'],
  ['../../y/b', 'git@h:x/a', 'git@h:y/b'],
  ['../../../../b', 'https://h/x/a.git', /above the host/],
  ['file:///etc', 'https://h/a.git', /http, https or ssh/],
  ['/etc', 'https://h/a.git', /http, https or ssh/],
  ['git://h/b', 'https://h/a.git', /http, https or ssh/],
  ['ext::sh -c x', 'https://h/a.git', /space/],
  ['ext::sh', 'https://h/a.git', /http, https or ssh/],
  ['--upload-pack=x', 'https://h/a.git', /http, https or ssh/],
  ['ssh://-x/b', 'https://h/a.git', /begins with -|no URL/],
  ['git@-x:b', 'https://h/a.git', /begins with -/],
];
for (const [text, parent, expected] of MODULES)
  test(`a submodule ${text} of ${parent}`, (t) => {
    if (typeof expected === 'string') t.is(submoduleUrl(text, parent).repository, expected);
    else t.throws(() => submoduleUrl(text, parent), { message: expected });
  });

test('a password is not shown', (t) => {
  t.is(redacted('https://u:secret@h/a.git#x'), 'https://u:xxxxx@h/a.git#x');
  t.is(redacted('https://h/a:b@c'), 'https://h/a:b@c');
  t.is(redacted('ADD http://u:s@h/x ssh://t:r@i /d'), 'ADD http://u:xxxxx@h/x ssh://t:xxxxx@i /d');
  t.notRegex(t.throws(() => parseGitUrl('https://u:secret@h/a.git?x=1')).message, /secret/);
});

test('a text without end is redacted in no time', (t) => {
  const began = process.cpuUsage();
  for (const text of ['a.', 'a://', 'http://', 'http://a:', 'https://:@', 'git', ':'])
    t.true(redacted(text.repeat(100_000)).length > 0);
  // some 50 ms; what is not linear takes minutes
  t.true(process.cpuUsage(began).user < 10_000_000);
});

test('whatever is parsed gives git no option, no control character and no way up', (t) => {
  const parts = [
    'https://',
    'ssh://',
    'git@',
    'h',
    ':',
    '/',
    'a',
    '.git',
    '#',
    '?',
    'ref=',
    'subdir=',
    '-',
    '..',
    '%2e',
    '%00',
    '\n',
    '&',
    '@',
    'ü',
    '[',
    '~',
  ];
  let random = 7;
  const next = (limit: number) => (random = (random * 48_271) % 2_147_483_647) % limit;
  let parsed = 0;
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from({ length: 1 + next(10) }, () => parts[next(parts.length)]).join('');
    if (!isGitUrl(text)) continue;
    try {
      const { repository, ref = 'x', subdir } = parseGitUrl(text);
      parsed++;
      for (const word of [repository, ref]) t.notRegex(word, /^-|[\x00-\x20\x7f]/, JSON.stringify(text));
      t.false(subdir.startsWith('/') || subdir.split('/').includes('..'), JSON.stringify(text));
    } catch (error) {
      t.true(error instanceof HuskError, String(error));
    }
  }
  t.true(parsed > 100, `${parsed}`);
});
