/** The index of a context: a file is read again when it may have changed, and only then. */
import { readFileSync, statSync, utimesSync, writeFileSync, chmodSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import test from 'ava';
import { openContext } from '../../../../src/images/build/files/context.ts';
import { ContextIndex } from '../../../../src/images/build/files/context-index.ts';
import { fromText } from '../../../../src/tar/byte-string.ts';
import { Place } from '../stage.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
/** ms: later than any tick */
const LATER = 60_000;

class Build implements Disposable {
  readonly place = new Place();
  readonly folder = this.place.folder({ a: 'one' });
  readonly file = join(this.folder, 'a');

  /** Asks for the digest of `a` as a build does. @returns it, and whether the index knew it */
  async digest(now = Date.now() + LATER): Promise<{ digest: string; known: boolean }> {
    const index = ContextIndex.of(join(this.place.root, 'indexes'), this.folder, { now })!;
    using context = openContext(this.folder, { index });
    const node = context.child(context.root, 'a')!;
    let known = true;
    const record = index.record.bind(index);
    index.record = (...found) => {
      known = false;
      record(...found);
    };
    const digest = await context.digest(node);
    index.save();
    return { digest, known };
  }

  [Symbol.dispose]() {
    this.place[Symbol.dispose]();
  }
}

test('what is unchanged is known', async (t) => {
  using build = new Build();
  t.deepEqual(await build.digest(), { digest: sha256('one'), known: false });
  t.deepEqual(await build.digest(), { digest: sha256('one'), known: true });
});

const changes: [name: string, change: (file: string) => void, text: string][] = [
  ['longer', (file) => writeFileSync(file, 'longer'), 'longer'],
  [
    'of the same size, its mtime set back',
    (file) => {
      const { atime, mtime } = statSync(file);
      writeFileSync(file, 'two');
      utimesSync(file, atime, mtime);
    },
    'two',
  ],
  [
    'another inode of the same size and mtime',
    (file) => {
      const { atime, mtime } = statSync(file);
      writeFileSync(`${file}.new`, 'two');
      utimesSync(`${file}.new`, atime, mtime);
      renameSync(`${file}.new`, file);
    },
    'two',
  ],
  ['of another mode', (file) => chmodSync(file, 0o755), 'one'],
];
for (const [name, change, text] of changes) {
  test(`a file that is ${name} is read again`, async (t) => {
    using build = new Build();
    await build.digest();
    // The change must be seen by the clock of the file system, which ticks.
    const before = statSync(build.file).ctimeMs;
    do change(build.file);
    while (statSync(build.file).ctimeMs === before);
    t.deepEqual(await build.digest(), { digest: sha256(text), known: false });
  });
}

test('a file as young as the build is not recorded: a second change in the same tick would not be seen', async (t) => {
  using build = new Build();
  const { ctimeMs } = statSync(build.file);
  await build.digest(ctimeMs);
  t.false((await build.digest(ctimeMs + LATER)).known, 'it was as young');
  t.true((await build.digest(ctimeMs + LATER)).known);
});

test('a file whose mtime lies in the future is always read', async (t) => {
  using build = new Build();
  utimesSync(build.file, 4e9, 4e9);
  await build.digest();
  t.false((await build.digest()).known);
});

const damages: [name: string, damage: (bytes: Buffer) => Buffer][] = [
  ['of another format', () => Buffer.from('husk-context-1\0a\0x')],
  ['that is cut short', (bytes) => bytes.subarray(0, -1)],
  ['that is cut within its header', (bytes) => bytes.subarray(0, 20)],
  ['that is empty', () => Buffer.alloc(0)],
  ['that is all zeros', (bytes) => Buffer.alloc(bytes.length)],
  ['that says it has more than it has', (bytes) => bytes.fill(0xff, 16, 20)],
];
for (const [name, damage] of damages) {
  test(`an index ${name} is as none`, async (t) => {
    using build = new Build();
    await build.digest();
    const file = join(build.place.root, 'indexes', sha256(build.folder));
    writeFileSync(file, damage(readFileSync(file)));
    t.deepEqual(await build.digest(), { digest: sha256('one'), known: false });
  });
}

test('an index with one bit changed, wherever, is as none', async (t) => {
  using build = new Build();
  await build.digest();
  const file = join(build.place.root, 'indexes', sha256(build.folder));
  const whole = readFileSync(file);
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    writeFileSync(file, damaged);
    t.deepEqual(await build.digest(), { digest: sha256('one'), known: false }, `byte ${at}`);
  }
});

test('builds that ask in other orders, and for other files, know them all', async (t) => {
  using place = new Place();
  const names = ['a', 'b', 'b c', 'caf\u00e9', 'd/e', 'd/f', 'z'];
  const folder = place.folder(Object.fromEntries(names.map((name) => [name, name])));
  /** @returns names that the index did not know */
  const ask = async (asked: string[]): Promise<string[]> => {
    const index = ContextIndex.of(join(place.root, 'indexes'), folder, { now: Date.now() + LATER })!;
    const fresh: string[] = [];
    const record = index.record.bind(index);
    index.record = (path, ...rest) => {
      fresh.push(Buffer.from(path, 'latin1').toString());
      record(path, ...rest);
    };
    using context = openContext(folder, { index });
    for (const name of asked) {
      let node = context.root;
      for (const part of name.split('/')) node = context.child(node, fromText(part))!;
      t.is(await context.digest(node), sha256(name));
    }
    index.save();
    return fresh;
  };
  t.deepEqual(await ask(['d/f', 'a']), ['d/f', 'a']);
  t.deepEqual(await ask(['a', 'b', 'd/f']), ['b']);
  t.deepEqual(await ask(names), ['b c', 'caf\u00e9', 'd/e', 'z']);
  t.deepEqual(await ask(names.toReversed()), []);
  writeFileSync(join(folder, 'b'), 'b');
  t.deepEqual(await ask(['z', 'b']), ['b']);
  t.deepEqual(await ask(names), []);
});
