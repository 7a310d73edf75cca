/**
 * `-o` of `save` and `export`: what cannot be written is said before anything is, in a person's words, and nothing
 * half-made stays.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { husk } from '../fake-context.ts';

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-output-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

function engine(): { engine: Partial<Engine>; asked: () => number } {
  let asked = 0;
  const bytes = (): Readable => (asked++, Readable.from([Buffer.from('archive')]));
  const images = {
    save: async (_names: string[], output: NodeJS.WritableStream) => void (asked++, output.write('archive')),
  };
  return { engine: { export: async () => bytes(), images } as unknown as Partial<Engine>, asked: () => asked };
}

const COMMANDS = ['save', 'export'] as const;
const REFUSED: [title: string, make: (at: string) => string, cause: RegExp][] = [
  ['a folder', (at) => (mkdirSync(join(at, 'd')), 'd'), /^Error: cannot write \S+\/d: it is a directory\n$/],
  ['a name that says it is a folder', () => 'new/', /^Error: cannot write \S+\/new\/: it is a directory\n$/],
  ['a folder that is not there', () => 'none/x', /^Error: invalid output path: directory "\S+none" does not exist\n$/],
  ['a name that is too long', () => 'n'.repeat(256), /^Error: stat \S+\/n{256}: file name too long\n$/],
];
if (process.getuid!() !== 0)
  REFUSED.push([
    'a folder that is closed',
    (at) => (mkdirSync(join(at, 'c')), chmodSync(join(at, 'c'), 0o500), 'c/x'),
    /^Error: cannot write \S+\/c\/x: permission denied\n$/,
  ]);

for (const command of COMMANDS) {
  for (const [title, make, stderr] of REFUSED) {
    test(`${command} -o ${title}`, async (t) => {
      const at = folder(t);
      const file = `${at}/${make(at)}`;
      const before = readdirSync(at);
      const { engine: fake, asked } = engine();
      const result = await husk([command, '-o', file, 'x'], { engine: fake });
      t.regex(result.stderr, stderr);
      t.is(result.code, 1);
      t.is(asked(), 0, 'nothing was asked for');
      t.deepEqual(readdirSync(at), before);
    });
  }

  for (const name of ['out.tar', 'n'.repeat(255)]) {
    test(`${command} -o replaces a file of ${name.length} characters`, async (t) => {
      const at = folder(t);
      writeFileSync(join(at, name), 'old');
      t.is((await husk([command, '-o', join(at, name), 'x'], { engine: engine().engine })).stderr, '');
      t.is(readFileSync(join(at, name), 'utf8'), 'archive');
      t.deepEqual(readdirSync(at), [name]);
    });
  }
}

for (const command of ['load', 'import']) {
  const args = (file: string) => (command === 'load' ? [command, '-i', file] : [command, file]);
  test(`${command} of what cannot be read, in a person's words`, async (t) => {
    const at = folder(t);
    t.is((await husk(args(join(at, 'none')))).stderr, `Error: open ${at}/none: no such file or directory\n`);
    t.is((await husk(args(at))).stderr, `Error: read ${at}: is a directory\n`);
    t.is(
      (await husk(args(join(at, 'n'.repeat(256))))).stderr,
      `Error: open ${at}/${'n'.repeat(256)}: file name too long\n`,
    );
    writeFileSync(join(at, 'closed'), '', { mode: 0 });
    if (process.getuid!() !== 0)
      t.is((await husk(args(join(at, 'closed')))).stderr, `Error: open ${at}/closed: permission denied\n`);
  });
}
