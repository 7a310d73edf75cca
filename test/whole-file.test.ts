/** Files that are whole or not there, and the links that somebody may have put in their way. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { makeWholeFile, writeWholeFile } from '../src/whole-file.ts';

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-whole-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

for (const durable of [false, true])
  test(`a file is made and replaced, with its mode, and nothing stays beside it; durable: ${durable}`, (t) => {
    const file = join(folder(t), 'file');
    writeWholeFile(file, 'one', { mode: 0o600, durable });
    writeWholeFile(file, Buffer.from('two'), { mode: 0o640, durable });
    t.is(readFileSync(file, 'utf8'), 'two');
    t.is(statSync(file).mode & 0o777, 0o640);
    t.deepEqual(readdirSync(join(file, '..')), ['file']);
  });

test('a link where the half is made, put there by a VMM that was taken over, is not followed', (t) => {
  const root = folder(t);
  const [file, victim] = [join(root, 'record.json'), join(root, 'victim')];
  writeFileSync(victim, 'mine');
  symlinkSync(victim, `${file}.${process.pid}`);
  writeWholeFile(file, '{}', { mode: 0o600 });
  t.deepEqual([readFileSync(victim, 'utf8'), readFileSync(file, 'utf8')], ['mine', '{}']);
  t.deepEqual(readdirSync(root).sort(), ['record.json', 'victim']);
});

test('what a killed process with this id left is in nobody’s way', (t) => {
  const file = join(folder(t), 'file');
  writeFileSync(`${file}.${process.pid}`, 'half of an ea');
  writeWholeFile(file, 'whole', { mode: 0o600 });
  t.is(readFileSync(file, 'utf8'), 'whole');
});

test('a failure leaves the file that was there, and no half', (t) => {
  const root = folder(t);
  const file = join(root, 'file');
  writeWholeFile(file, 'before', { mode: 0o600 });
  const half = join(root, 'half');
  const make = () => {
    writeFileSync(half, 'begun');
    throw new Error('the disk is full');
  };
  t.throws(() => makeWholeFile(file, { half, make }), { message: 'the disk is full' });
  t.deepEqual([readFileSync(file, 'utf8'), existsSync(half)], ['before', false]);
  mkdirSync(join(root, 'taken'));
  t.throws(() => writeWholeFile(join(root, 'taken'), 'x', { mode: 0o600 }), { code: 'EISDIR' });
  t.deepEqual(readdirSync(root).sort(), ['file', 'taken']);
});

test('a write that fails names the file, not the descriptor', (t) => {
  const file = join(folder(t), 'file');
  const refused = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
    syscall: 'write',
  });
  const error = t.throws<NodeJS.ErrnoException>(() =>
    makeWholeFile(file, {
      half: `${file}.half`,
      make: () => {
        throw refused;
      },
    }),
  );
  t.is(error?.path, file);
});
