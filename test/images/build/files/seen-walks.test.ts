/** What a build found in a context is known to the next one while nothing has changed, and never otherwise. */
import { createServer } from 'node:net';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { copyLayer } from '../../../../src/images/build/copy.ts';
import { openContext } from '../../../../src/images/build/files/context.ts';
import { ContextIndex } from '../../../../src/images/build/files/context-index.ts';
import { parseIgnoreFile } from '../../../../src/images/build/files/ignore.ts';
import { View } from '../../../../src/images/build/files/view.ts';
import type { CopyOperation } from '../../../../src/images/build/operations.ts';
import { bytesOf, copy, type Entry, Place } from '../stage.ts';

/** ms: later than any tick */
const LATER = 60_000;
const FILES: Record<string, Entry> = { a: 'one', 'd/b': 'two', 'd/e/c': 'three', l: { link: 'd' } };

class Build implements Disposable {
  readonly place = new Place();
  readonly folder: string;
  readonly indexes = join(this.place.root, 'indexes');

  /** @param files of the context, or the folder that it is */
  constructor(files: Record<string, Entry> | string = FILES) {
    this.folder = typeof files === 'string' ? files : this.place.folder(files);
  }

  /** Plans a COPY as a build does. @returns its key, whether that was known without a walk, and the layer's bytes */
  async plan(
    words: string,
    options: {
      operation?: Partial<CopyOperation>;
      ignore?: string;
      now?: number;
      /** done between the plan and the layer; the layer is not written without it */
      before?: () => void;
    } = {},
  ): Promise<{ key: string; known: boolean; bytes?: Buffer }> {
    const { operation, ignore, now = Date.now() + LATER, before } = options;
    const index = ContextIndex.of(this.indexes, this.folder, { now })!;
    using context = openContext(this.folder, {
      index,
      ...(ignore !== undefined && { ignore: parseIgnoreFile(Buffer.from(ignore), '.dockerignore') }),
    });
    const layer = await copyLayer(copy(words, operation), View.of([]), context, {
      unpack: { tmp: this.place.root, maxSize: 1 << 20 },
    });
    const known = context.root.children === undefined;
    index.save();
    before?.();
    return { key: layer.key, known, ...(before && { bytes: await bytesOf(layer.write()) }) };
  }

  /** The key without anything of earlier builds. */
  async anew(words: string): Promise<string> {
    using context = openContext(this.folder);
    const { key } = await copyLayer(copy(words), View.of([]), context, {
      unpack: { tmp: this.place.root, maxSize: 1 << 20 },
    });
    return key;
  }

  /** Waits until the clock of the file system, which ticks, has moved on: what changes now is seen. */
  tick(): void {
    const probe = join(this.place.root, 'probe');
    writeFileSync(probe, '');
    const before = statSync(probe).ctimeMs;
    while (statSync(probe).ctimeMs === before) writeFileSync(probe, '');
  }

  walks(): string[] {
    return (existsSync(this.indexes) ? readdirSync(this.indexes) : []).filter((name) => name.includes('-'));
  }

  [Symbol.dispose]() {
    this.place[Symbol.dispose]();
  }
}

for (const words of ['. /', 'd /', 'l /', 'a d/b /to/', 'a* /to/', 'd/*/c /c'])
  test(`COPY ${words} of what is unchanged is known`, async (t) => {
    using build = new Build();
    const first = await build.plan(words, { before: () => {} });
    t.false(first.known);
    const second = await build.plan(words, { before: () => {} });
    t.true(second.known);
    t.is(second.key, await build.anew(words));
    t.deepEqual(second, { ...first, known: true });
  });

const changes: [name: string, words: string, change: (folder: string) => void][] = [
  [
    'a file of the same size whose mtime was set back',
    '. /',
    (folder) => {
      const file = join(folder, 'd/b');
      const { atime, mtime } = statSync(file);
      writeFileSync(file, 'TWO');
      utimesSync(file, atime, mtime);
    },
  ],
  ['another mode', '. /', (folder) => chmodSync(join(folder, 'd/b'), 0o755)],
  ['another mode of a folder', '. /', (folder) => chmodSync(join(folder, 'd'), 0o700)],
  ['a new file below', '. /', (folder) => writeFileSync(join(folder, 'd/e/new'), 'x')],
  ['a new file that a pattern finds', 'a* /to/', (folder) => writeFileSync(join(folder, 'ab'), 'x')],
  ['a file that is gone', '. /', (folder) => rmSync(join(folder, 'd/e/c'))],
  ['a folder that is gone', '. /', (folder) => rmSync(join(folder, 'd/e'), { recursive: true })],
  ['a file of another name', '. /', (folder) => renameSync(join(folder, 'd/e/c'), join(folder, 'd/e/C'))],
  [
    'a file that is a link now',
    '. /',
    (folder) => {
      renameSync(join(folder, 'd/b'), join(folder, 'd/b2'));
      symlinkSync('b2', join(folder, 'd/b'));
    },
  ],
  ['a second name of an inode', '. /', (folder) => linkSync(join(folder, 'a'), join(folder, 'd/a'))],
  [
    'another target of the link that is copied',
    'l /',
    (folder) => {
      rmSync(join(folder, 'l'));
      symlinkSync('d/e', join(folder, 'l'));
    },
  ],
  [
    'a folder that was exchanged',
    'd/e /',
    (folder) => {
      mkdirSync(join(folder, 'new'));
      writeFileSync(join(folder, 'new/c'), 'THREE');
      renameSync(join(folder, 'd/e'), join(folder, 'd/old'));
      renameSync(join(folder, 'new'), join(folder, 'd/e'));
    },
  ],
];
for (const [name, words, change] of changes)
  test(`${name} is noticed`, async (t) => {
    using build = new Build();
    const first = await build.plan(words);
    build.tick();
    change(build.folder);
    const second = await build.plan(words);
    t.false(second.known);
    t.not(second.key, first.key);
    t.is(second.key, await build.anew(words));
    t.true((await build.plan(words)).known);
  });

test('another instruction and other patterns are other questions', async (t) => {
  using build = new Build();
  await build.plan('. /');
  const others = [
    build.plan('. /to/'),
    build.plan('. /', { operation: { exclude: ['d'] } }),
    build.plan('. /', { operation: { chmod: '700' } }),
    build.plan('. /', { operation: { chown: '5' } }),
    build.plan('. /', { ignore: 'a' }),
    build.plan('. /', { ignore: '*\n!a' }),
  ];
  const found = await Promise.all(others);
  t.deepEqual(
    found.map(({ known }) => known),
    found.map(() => false),
  );
  t.is(new Set(found.map(({ key }) => key)).size, found.length);
});

test('what is ignored may change', async (t) => {
  using build = new Build({ ...FILES, 'skip/x': 'x' });
  const ignore = 'skip\n';
  const { key } = await build.plan('. /', { ignore });
  build.tick();
  writeFileSync(join(build.folder, 'skip/y'), 'y');
  t.deepEqual(await build.plan('. /', { ignore }), { key, known: true });
});

test('what is let in again below an ignored folder is noticed', async (t) => {
  using build = new Build({ ...FILES, 'skip/x': 'x' });
  const ignore = 'skip\n!skip/keep*\n';
  const first = await build.plan('. /', { ignore });
  build.tick();
  writeFileSync(join(build.folder, 'skip/keep'), 'k');
  const second = await build.plan('. /', { ignore });
  t.false(second.known);
  t.not(second.key, first.key);
  t.true((await build.plan('. /', { ignore })).known);
  build.tick();
  writeFileSync(join(build.folder, 'skip/keep2'), 'k');
  t.false((await build.plan('. /', { ignore })).known);
});

test('a file that is so young that it may change unseen is not relied upon', async (t) => {
  using build = new Build();
  const now = statSync(join(build.folder, 'a')).ctimeMs;
  await build.plan('. /', { now });
  t.deepEqual(build.walks(), []);
  t.false((await build.plan('. /', { now })).known);
});

test('folders of another file system are not relied upon', async (t) => {
  using build = new Build('/');
  await build.plan('proc/sys/kernel/ostype /');
  t.deepEqual(build.walks(), []);
});

test('a socket is told of by each build', async (t) => {
  using build = new Build();
  const server = createServer().listen(join(build.folder, 'd/socket'));
  await once(server, 'listening');
  try {
    await build.plan('. /');
    t.deepEqual(build.walks(), []);
    t.false((await build.plan('. /')).known);
  } finally {
    server.close();
  }
});

test('files that change after their key was known do not get its layer', async (t) => {
  using build = new Build();
  await build.plan('. /');
  build.tick();
  const change = () => writeFileSync(join(build.folder, 'a'), 'ONE');
  await t.throwsAsync(build.plan('. /', { before: change }), {
    message: 'the context changed while it was read',
  });
});

test('a file of a walk that is not what was written counts for nothing', async (t) => {
  using build = new Build();
  const { key } = await build.plan('. /');
  const file = join(build.indexes, build.walks()[0]!);
  const whole = readFileSync(file);
  const flipped = (at: number) => whole.map((byte, index) => (index === at ? byte ^ 1 : byte));
  const broken = [
    Buffer.alloc(0),
    whole.subarray(0, 20),
    whole.subarray(0, -1),
    Buffer.concat([whole, Buffer.from('x')]),
    ...[0, 16, 20, 24, 28, 32, 40, whole.length - 70, whole.length - 1].map(flipped),
  ];
  for (const bytes of broken) {
    writeFileSync(file, bytes);
    t.deepEqual(await build.plan('. /'), { key, known: false });
  }
  t.deepEqual(await build.plan('. /'), { key, known: true });
});

test('stages that walk at once know what both have seen', async (t) => {
  using build = new Build({ ...FILES, large: 'x'.repeat(300 << 10) });
  const plan = async (now: number) => {
    const index = ContextIndex.of(build.indexes, build.folder, { now })!;
    using context = openContext(build.folder, { index });
    const options = { unpack: { tmp: build.place.root, maxSize: 1 << 20 } };
    // The large file is waited for, and meanwhile the other walk begins.
    return await Promise.all(
      ['. /', 'd /'].map(async (words) => (await copyLayer(copy(words), View.of([]), context, options)).key),
    );
  };
  const first = await plan(Date.now() + LATER);
  build.tick();
  writeFileSync(join(build.folder, 'd/e/new'), 'x');
  const second = await plan(Date.now() + LATER);
  t.not(second[0], first[0]);
  t.not(second[1], first[1]);
  t.deepEqual(second, [await build.anew('. /'), await build.anew('d /')]);
});

test('the folder whose file changed last is looked at first', async (t) => {
  using build = new Build({ 'one/f': '1', 'two/f': '2', 'three/f': '3' });
  for (const name of ['two', 'one', 'three', 'two']) {
    build.tick();
    writeFileSync(join(build.folder, name, 'f'), 'changed');
    t.false((await build.plan('. /')).known);
    const kept = readFileSync(join(build.indexes, build.walks()[0]!));
    // The paths of folders stand in the order in which they are looked at; the root has the empty one.
    const places = ['one', 'two', 'three', name].map((folder) => kept.indexOf(`${folder}\0`));
    t.is(places.pop(), Math.min(...places), name);
    t.true((await build.plan('. /')).known);
  }
});

test('a context keeps the walks of its last questions', async (t) => {
  using build = new Build();
  for (let at = 0; at < 40; at++) await build.plan(`. /${at}`);
  t.is(build.walks().length, 32);
  t.true((await build.plan('. /39')).known);
});

test('whatever changes, what is known is what a walk finds', async (t) => {
  using build = new Build();
  let seed = 7;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
  const some = () => join(build.folder, ['', 'd', 'd/e', 'f'][random(4)]!, `n${random(4)}`);
  const acts = [
    () => writeFileSync(some(), String(random(3))),
    () => rmSync(some(), { force: true, recursive: true }),
    () => mkdirSync(some()),
    () => symlinkSync(`n${random(4)}`, some()),
    () => renameSync(some(), some()),
    () => linkSync(some(), some()),
    () => chmodSync(some(), 0o600 + random(64)),
  ];
  let known = 0;
  for (let round = 0; round < 150; round++) {
    build.tick();
    try {
      acts[random(acts.length)]!();
    } catch {
      // The name is there, or is not: nothing has changed.
    }
    for (const words of ['. /', 'd /', 'n* d/n* a /to/']) {
      const [found, anew] = await Promise.allSettled([build.plan(words), build.anew(words)]);
      // What cannot be copied is refused in the same words.
      if (found.status === 'rejected' || anew.status === 'rejected') {
        t.like(found, { status: 'rejected', reason: { message: (anew as PromiseRejectedResult).reason.message } });
        continue;
      }
      if (found.value.known) known++;
      t.is(found.value.key, anew.value, `round ${round}: ${words}`);
    }
  }
  t.true(known > 100, `${known}`);
});
