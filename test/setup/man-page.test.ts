/** setup/man-page.ts: a page for every command, with every flag; and roff that groff has nothing to say about. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { escape, manualPages } from '../../setup/man-page.ts';
import { COMMANDS, spellings } from '../../src/cli/table/table.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';

const pages = manualPages({ version: '1.2.3', date: '2026-11-28' });
const text = (file: string): string => pages.find((page) => page.file === file)?.text ?? '';

const ESCAPES: [text: string, roff: string][] = [
  ['plain', 'plain'],
  ['--rm', '\\-\\-rm'],
  ['a\\nb', 'a\\enb'],
  ['.so /etc/passwd', '\\&.so /etc/passwd'],
  ["'TEMPLATE': what", "\\&'TEMPLATE': what"],
  ['first\n.second', 'first\n\\&.second'],
  ['naïve', 'na\\[u00EF]ve'],
];
for (const [typed, roff] of ESCAPES)
  test(`${JSON.stringify(typed)} is printed as it stands`, (t) => t.is(escape(typed), roff));

for (const command of COMMANDS.filter(({ hidden }) => !hidden)) {
  const own = ['husk', ...command.parent, command.name];
  test(`${own.join(' ')} has a page, under each of its spellings`, (t) => {
    const page = text(`${own.join('-')}.1`);
    t.true(page.startsWith(`.TH "${escape(own.join('-').toUpperCase())}" 1 "2026\\-11\\-28" "husk 1.2.3"`));
    for (const flag of command.flags)
      t.is(page.includes(`\\fB${escape(`--${flag.name}`)}\\fR`), flag.hidden !== true, flag.name);
    for (const words of spellings(command)) t.not(text(`husk-${words.join('-')}.1`), '', words.join(' '));
  });
}

test('the page of husk names every command that has no group, and only pages that are there', (t) => {
  const named = pages.flatMap(({ text }) =>
    [...text.matchAll(/^\.BR (\S+) \(1\)/gm)].map(([, name]) => `${name!.replaceAll('\\-', '-')}.1`),
  );
  t.deepEqual(
    named.filter((file) => text(file) === ''),
    [],
  );
  t.true(text('husk.1').includes('husk\\-run (1)'));
});

const groff = spawnSync('groff', ['--version']).status === 0;
(groff ? test : test.skip)(`groff warns of nothing${groff ? '' : ' (needs groff: apt install groff-base)'}`, (t) => {
  const folder = temporaryFolder('husk-man-');
  const files = pages
    .filter(({ text }) => !text.startsWith('.so '))
    .map(({ file, text }) => {
      writeFileSync(join(folder, file), text);
      return join(folder, file);
    });
  const { status, stderr } = spawnSync('groff', ['-ww', '-man', '-Tutf8', '-z', ...files], { encoding: 'utf8' });
  t.deepEqual({ status, stderr }, { status: 0, stderr: '' });
});
