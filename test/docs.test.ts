/** Documents that promise something name the tests that show it: each must be there. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';

const root = join(import.meta.dirname, '..');
const read = (name: string) => readFileSync(join(root, 'docs', name), 'utf8');

for (const name of ['promises.md', 'security.md'])
  test(`${name} names tests that are there`, (t) => {
    const named = [...read(name).matchAll(/`(test\/[^`*\s]+)`/g)].map((match) => match[1]!);
    t.true(named.length > 10);
    t.deepEqual(
      named.filter((path) => !existsSync(join(root, path))),
      [],
    );
  });

test('the known attacks: each CVE once, with how husk stands', (t) => {
  const table = read('security.md').split('## Known attacks')[1]!.split('\n## ')[0]!;
  const rows = table.split('\n').filter((line) => line.startsWith('| CVE-'));
  t.true(rows.length >= 60);
  for (const row of rows) {
    const [, cves = '', what = '', stand = '', tests = ''] = row
      .split(' | ')
      .map((cell) => cell.replace(/^\| | \|$/g, ''));
    void cves;
    t.true(what !== '' && stand !== '', row);
    // without a test only what husk has not, or is said to be open or untested
    if (!/`test\//.test(`${stand}${tests}`) && !/`test\//.test(row)) t.regex(row, / \| (- \(|open: |no test )/);
  }
  const ids = [...table.matchAll(/CVE-\d{4}-\d{4,}/g)].map(String);
  t.deepEqual(
    ids.filter((id, at) => ids.indexOf(id) !== at),
    [],
  );
});
