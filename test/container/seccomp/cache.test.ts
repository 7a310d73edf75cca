import { readdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { DEFAULT_CAPABILITIES } from '../../../src/container/capabilities.ts';
import { cachedFilter } from '../../../src/container/seccomp/cache.ts';
import { compileSeccomp } from '../../../src/container/seccomp/compile.ts';
import { seccompFor } from '../../../src/container/seccomp/profile.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const seccomp = seccompFor(undefined, { capabilities: DEFAULT_CAPABILITIES, kernel: '6.1.0', privileged: false })!;
const folder = () => join(temporaryFolder('husk-seccomp-'), 'made');
const only = (path: string) => join(path, readdirSync(path)[0]!);

test('the second time it is read, not compiled', (t) => {
  const path = folder();
  t.deepEqual(cachedFilter(seccomp, path), compileSeccomp(seccomp));
  // a mark that only the file has
  const file = only(path);
  const bytes = readFileSync(file);
  bytes[bytes.length - 1] = 0xee;
  writeFileSync(file, bytes);
  t.is(cachedFilter(seccomp, path).filter.at(-1), 0xee);
});
test('profiles do not share a file', (t) => {
  const path = folder();
  cachedFilter(seccomp, path);
  cachedFilter({ ...seccomp, defaultErrnoRet: 2 }, path);
  t.is(readdirSync(path).length, 2);
});
test('a profile is never taken for another whose file has its name', (t) => {
  const path = folder();
  const other = { ...seccomp, defaultErrnoRet: 2 };
  cachedFilter(seccomp, path);
  const [name] = readdirSync(path);
  cachedFilter(other, path);
  const [otherName] = readdirSync(path).filter((one) => one !== name);
  renameSync(join(path, name!), join(path, otherName!));
  t.deepEqual(cachedFilter(other, path), compileSeccomp(other));
});
for (const [what, harm] of [
  ['cut off', (file: string) => truncateSync(file, 100)],
  ['empty', (file: string) => truncateSync(file, 0)],
  ['something else', (file: string) => writeFileSync(file, 'x'.repeat(1000))],
] as const)
  test(`a file that is ${what} is made anew`, (t) => {
    const path = folder();
    cachedFilter(seccomp, path);
    harm(only(path));
    t.deepEqual(cachedFilter(seccomp, path), compileSeccomp(seccomp));
    t.deepEqual(cachedFilter(seccomp, path), compileSeccomp(seccomp));
  });
test('a folder that cannot be made costs nothing but time', (t) =>
  t.deepEqual(cachedFilter(seccomp, join(import.meta.filename, 'below-a-file')), compileSeccomp(seccomp)));
