/** A context by name that is handed in as a tar: when it is read, and what is not taken of a hostile one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import type { BuildOptions } from '../../../src/engine/build-contract.ts';
import { HuskError } from '../../../src/errors.ts';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import { TAR_END, tarHeader, paddingOf } from '../../../src/tar/write.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const work = temporaryFolder('husk-tar-context-');
const engine = openEngine({ dataRoot: join(work, 'root') });
test.after.always(async () => (await engine)[Symbol.dispose]());

const file = (path: string, data: string, told = data.length): Buffer =>
  Buffer.concat([tarHeader({ type: 'file', path, mode: 0o644, size: told }), Buffer.from(data), paddingOf(told)]);
const tarOf = (...members: Buffer[]): Readable => Readable.from([...members, TAR_END], { objectMode: false });

let count = 0;
/** @returns the folder of the files that were built */
async function build(dockerfile: string, contexts: BuildOptions['contexts']): Promise<string> {
  const folder = join(work, `out-${count++}`);
  await (
    await engine
  ).build({
    context: { kind: 'none' },
    dockerfile: { bytes: Buffer.from(dockerfile) },
    tags: [],
    buildArgs: {},
    contexts,
    noCache: false,
    pull: false,
    labels: {},
    annotations: {},
    network: 'none',
    extraHosts: [],
    ulimits: [],
    secrets: [],
    ssh: {},
    allow: [],
    outputs: [{ type: 'local', folder }],
    isolation: 'userns',
  });
  return folder;
}

test('it is read once by all that use it, and not at all where nothing does', async (t) => {
  const [input, unused] = [tarOf(file('a', 'first'), file('d/b', 'deep')), tarOf(file('a', ''))];
  const made = await build('FROM n AS one\nFROM scratch\nCOPY --from=n a /x\nCOPY --from=one d /y/\n', {
    n: { kind: 'tar', input },
    unused: { kind: 'tar', input: unused },
  });
  t.is(readFileSync(join(made, 'x'), 'utf8'), 'first');
  t.is(readFileSync(join(made, 'y/b'), 'utf8'), 'deep');
  t.true(input.readableDidRead);
  t.false(unused.readableDidRead);
});

test('one that fails while it is read fails the build, with its own words', async (t) => {
  const input = Readable.from(
    (function* () {
      yield file('a', 'first');
      throw new HuskError('the client is gone', { kind: 'invalid' });
    })(),
    { objectMode: false },
  );
  await t.throwsAsync(build('FROM scratch\nCOPY --from=n a /\n', { n: { kind: 'tar', input } }), {
    message: /the client is gone/,
  });
});

const HOSTILE: [what: string, input: () => Readable][] = [
  ['a name above its root', () => tarOf(file('../a', 'x'))],
  ['an end within a file', () => Readable.from([file('a', 'x', 4096).subarray(0, 600)], { objectMode: false })],
  ['no tar', () => Readable.from([Buffer.alloc(1024, 'x')], { objectMode: false })],
  ['a link out of it', () => tarOf(tarHeader({ type: 'symlink', path: 'l', mode: 0o777, linkname: '/etc' }))],
];
for (const [what, input] of HOSTILE)
  test(`is refused: ${what}`, async (t) => {
    const error = await t.throwsAsync(
      build('FROM scratch\nCOPY --from=n . /\nCOPY --from=n l/passwd /\n', { n: { kind: 'tar', input: input() } }),
    );
    t.true(error instanceof HuskError, String(error));
  });
