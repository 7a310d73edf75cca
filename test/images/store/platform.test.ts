import test from 'ava';
import {
  chooseEntry,
  formatPlatform,
  hostPlatform,
  parsePlatform,
  serves,
} from '../../../src/images/store/platform.ts';

const entry = (text: string) => {
  const [os = '', architecture = '', variant] = text.split('/');
  return { mediaType: '', digest: text, size: 0, platform: { os, architecture, ...(variant ? { variant } : {}) } };
};

const chooses = test.macro({
  exec(t, wanted: string, entries: string[], expected: string | undefined) {
    t.is(chooseEntry(entries.map(entry), parsePlatform(wanted))?.digest, expected);
  },
  title: (_title, wanted: string, entries: string[], _expected?: string) => `${wanted} of ${entries.join(' ')}`,
});
test(chooses, 'linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64');
test(chooses, 'linux/amd64', ['windows/amd64', 'unknown/unknown'], undefined);
test(chooses, 'linux/x86_64', ['linux/amd64/v1'], 'linux/amd64/v1');
test(chooses, 'linux/amd64', ['linux/amd64/v3'], undefined);
test(chooses, 'linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2'], 'linux/amd64/v2');
test(chooses, 'linux/arm64', ['linux/arm64/v8'], 'linux/arm64/v8');
test(chooses, 'linux/arm64/v8', ['linux/arm64'], 'linux/arm64');
test(chooses, 'linux/arm', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7');
test(chooses, 'linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v6');
test(chooses, 'linux/arm/v6', ['linux/arm/v7'], undefined);
test(chooses, 'linux/armhf', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7');
test(chooses, 'LINUX/AMD64', ['linux/amd64'], 'linux/amd64');
test(chooses, 'linux/386', ['linux/amd64', 'linux/386'], 'linux/386');
test(chooses, 'arm64', ['linux/amd64', 'linux/arm64'], 'linux/arm64');

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
test('an entry without a platform is chosen where none matches', (t) =>
  t.is(
    chooseEntry([entry('linux/arm64'), { mediaType: MANIFEST, digest: 'x', size: 0 }], parsePlatform('linux/amd64'))
      ?.digest,
    'x',
  ));
test('an entry that matches comes first', (t) =>
  t.not(
    chooseEntry([{ mediaType: MANIFEST, digest: 'x', size: 0 }, entry('linux/amd64')], parsePlatform('linux/amd64'))
      ?.digest,
    'x',
  ));
test('what is no image is never chosen', (t) =>
  t.is(
    chooseEntry(
      [{ mediaType: 'application/vnd.oci.image.index.v1+json', digest: 'x', size: 0 }],
      parsePlatform('linux/amd64'),
    ),
    undefined,
  ));
for (const word of ['bogus', 'linus', 'amd46'])
  test(`no platform: ${word}`, (t) =>
    void t.throws(() => parsePlatform(word), {
      message: `"${word}": unknown operating system or architecture: invalid argument`,
    }));
test('a system alone is this machine under it', (t) =>
  t.deepEqual(parsePlatform('windows'), { ...hostPlatform(), os: 'windows' }));
test('the first of equals is chosen', (t) =>
  t.is(
    chooseEntry([{ ...entry('linux/amd64'), digest: 'first' }, entry('linux/amd64')], parsePlatform('linux/amd64'))
      ?.digest,
    'first',
  ));
test('linux alone is this machine', (t) => t.deepEqual(parsePlatform('linux'), hostPlatform()));
test('an image of this machine serves it', (t) => t.true(serves(hostPlatform(), hostPlatform())));

for (const text of ['', '/', 'linux/', 'linux//v7', 'a/b/c/d', 'linux/amd64 ', 'a'.repeat(100)])
  test(`refused: ${JSON.stringify(text)}`, (t) =>
    void t.throws(() => parsePlatform(text), { message: `invalid platform "${text}"` }));
test('shown as typed', (t) => t.is(formatPlatform(parsePlatform('linux/arm/v6')), 'linux/arm/v6'));
