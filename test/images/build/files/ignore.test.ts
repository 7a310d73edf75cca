/** Ignore files: which names a context shows. The trees are those of recorded builds by BuildKit and buildah. */
import test from 'ava';
import { parseIgnoreFile } from '../../../../src/images/build/files/ignore.ts';
import { PathPattern } from '../../../../src/images/build/files/match.ts';
import { random } from '../../../fixtures/random.ts';
import { type Entry, Place } from '../stage.ts';
import type { Context, ContextNode } from '../../../../src/images/build/files/context.ts';

function shown(context: Context, folder: ContextNode = context.root): string[] {
  return context.names(folder).flatMap((name) => {
    const node = context.child(folder, name)!;
    return node.type === 'directory' ? [`${node.path}/`, ...shown(context, node)] : [node.path];
  });
}

const files = (...names: string[]): Record<string, Entry> => Object.fromEntries(names.map((name) => [name, '']));

const cases: [name: string, ignore: string | Buffer, files: Record<string, Entry>, shown: string[]][] = [
  ['nothing', '', files('a', 'd/b'), ['a', 'd/', 'd/b']],
  [
    'all but a pattern at any depth',
    '*\n!**/*.py\n!req.txt\n',
    files('a.py', 'a.txt', 'd/b.py', 'd/b.txt', 'd/e/c.py', 'f/x.txt', 'req.txt'),
    ['a.py', 'd/', 'd/b.py', 'd/e/', 'd/e/c.py', 'req.txt'],
  ],
  [
    'parts of a folder let in again',
    '# c\n docker \n!**/entry*.sh\n!docker/nginx/*\nbuild*.yml\n',
    files('docker/x', 'docker/entry1.sh', 'docker/nginx/n', 'docker/nginx/s/t', 'build1.yml', 'k/build1.yml'),
    [
      'docker/',
      'docker/entry1.sh',
      'docker/nginx/',
      'docker/nginx/n',
      'docker/nginx/s/',
      'docker/nginx/s/t',
      'k/',
      'k/build1.yml',
    ],
  ],
  [
    'a folder let in, but a file of it',
    '**\n!util/docker/web\nutil/docker/web/foo\n',
    files('util/docker/web/foo', 'util/docker/web/bar', 'util/x'),
    ['util/', 'util/docker/', 'util/docker/web/', 'util/docker/web/bar'],
  ],
  [
    'rooted, dotted, escaped and ranged patterns',
    '/abs\n./rel/\n../out\nfoo/**/bar\n**/t\n!t/keep\n*/q\n?z\n[ab]y\nesc\\*\n',
    files(
      'abs',
      'd/abs',
      'rel/f',
      'foo/bar',
      'foo/x/bar',
      'foo/x/y/bar/z',
      't/keep',
      't/n',
      'd/t/n',
      'd/q',
      'q',
      'az',
      'aaz',
      'ay',
      'cy',
      'esc*',
      'escx',
      'out',
    ),
    ['aaz', 'cy', 'd/', 'd/abs', 'escx', 'foo/', 'foo/x/', 'foo/x/y/', 'out', 'q', 't/', 't/keep'],
  ],
  [
    'byte order mark, CR LF, and a # behind a blank',
    Buffer.from('\ufefffoo\r\nbar \r\n\r\n#baz\n !keep\n #x\n'),
    files('foo', 'bar', 'baz', 'keep', '#x'),
    ['baz', 'keep'],
  ],
  ['a dotted name let in', '**\n\n!./source.txt\n', files('source.txt', 'other'), ['source.txt']],
  [
    'an inner folder let in by its path',
    'a\n!a/b/c\n',
    files('a/x', 'a/b/x', 'a/b/c/d'),
    ['a/', 'a/b/', 'a/b/c/', 'a/b/c/d'],
  ],
  ['let in before it is left out: left out', '!a\na\n', files('a'), []],
  ['the root in its forms, which matches nothing', '.\n/\n./\n', files('a'), ['a']],
  ['names of more than one byte', '?\n[à-ö]x\n', files('é', 'éx', 'zx', '€'), ['zx']],
  ['a negated range', '[^a-c]\n', files('a', 'd'), ['a']],
  ['a star and a dot', '*.md\n', files('a.md', 'd/b.md', 'amd'), ['amd', 'd/', 'd/b.md']],
  [
    '** in the middle and at the end',
    'a/**\nb**c\n',
    files('a/x/y', 'bc', 'bxc', 'b/x/c'),
    ['a/', 'b/', 'b/x/', 'bxc'],
  ],
];
for (const [name, ignore, entries, expected] of cases) {
  test(`leaves out: ${name}`, (t) => {
    using place = new Place();
    const context = place.context(entries, { ignore: parseIgnoreFile(Buffer.from(ignore), '.dockerignore') });
    const bytes = (path: string) => Buffer.from(path).toString('latin1');
    t.deepEqual(shown(context), expected.map(bytes).sort());
  });
}

for (const [text, message] of [
  ['a\n[\n', /^invalid pattern in line 2 of \.dockerignore: "\[": syntax error in pattern$/],
  ['[a-]\n', /line 1 .* syntax error in pattern$/],
  ['a\\\n', /syntax error in pattern$/],
  ['!\n', /nothing follows the !$/],
  ['x'.repeat(5000), /a pattern may have 4096 characters$/],
  ['a\n'.repeat(10_001), /has 10001 patterns, more than 10000$/],
  ['#'.repeat((1 << 20) + 1), /has 1048577 bytes, more than 1048576$/],
] as const) {
  test(`refuses ${JSON.stringify(text.slice(0, 20))}`, (t) => {
    t.throws(() => parseIgnoreFile(Buffer.from(text), '.dockerignore'), { message, name: 'HuskError' });
  });
}

/** A pattern as a regular expression of JavaScript, which is right though it may take for ever. */
function asRegExp(pattern: string): RegExp {
  const source = pattern.replace(/\*\*\/?$|\*\*\/?|\*|\?|[^*?]/g, (part, at: number) => {
    if (part.startsWith('**')) return at + part.length === pattern.length ? '.*' : '(.*/)?';
    return part === '*' ? '[^/]*' : part === '?' ? '[^/]' : part;
  });
  return new RegExp(`^${source}$`, 's');
}

test('any pattern matches what its regular expression does', (t) => {
  const next = random(7);
  const some = (alphabet: string, most: number) =>
    Array.from({ length: 1 + Math.floor(next() * most) }, () => alphabet[Math.floor(next() * alphabet.length)]).join(
      '',
    );
  let matched = 0;
  for (let round = 0; round < 20_000; round++) {
    const pattern = some('ab/**?', 7);
    const subject = some('aab/', 7);
    const expected = asRegExp(pattern).test(subject);
    const compiled = new PathPattern(pattern, { deep: true });
    t.is(compiled.matches(subject), expected, `${pattern} ${subject}`);
    if (!expected) continue;
    matched++;
    // What matches below a folder must not be cut off at the folder.
    for (let slash = subject.indexOf('/', 1); slash > 0; slash = subject.indexOf('/', slash + 1))
      t.true(compiled.mayMatchBelow(subject.slice(0, slash)), `${pattern} ${subject} below ${slash}`);
  }
  t.true(matched > 1000);
});

test('a pattern of many stars is matched in linear time', (t) => {
  for (const pattern of ['**/a'.repeat(1000), '*a'.repeat(2000), '**a*'.repeat(1000), '?*'.repeat(2000)]) {
    const compiled = new PathPattern(pattern, { deep: true });
    for (const subject of [`${'a'.repeat(4000)}b`, 'a/'.repeat(2000), `${'ab/'.repeat(1300)}!`]) {
      const started = process.cpuUsage();
      compiled.matches(subject);
      compiled.mayMatchBelow(subject);
      const { user } = process.cpuUsage(started);
      // 4,000 states times 4,000 characters; a backtracking matcher would not end at all.
      t.true(user < 20e6, `${pattern.slice(0, 8)}: ${user} µs`);
    }
  }
});
